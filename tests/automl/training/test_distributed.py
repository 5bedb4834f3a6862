"""Two processes train a network as one does."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from automl.compress.grid import activation_grid, weight_grid
from automl.compress.quantized import QuantizedNetwork
from automl.core.bits import BitWidths
from automl.core.errors import AutoMLError, InterruptedRunError
from automl.training.following import follow
from automl.training.loop import train
from automl.training.recipe import Recipe
from automl.training.team import Team
from automl.training.whole_batch import WholeBatchNorms
from tests.automl.training.conftest import TinyImages, bars
from tests.automl.training.processes import CPU, in_two

RECIPE = Recipe(
    epochs=2,
    learning_rate=0.1,
    batch_size=15,  # 7 and 8 images
    weight_decay=1e-3,
    schedule="one-cycle",
    label_smoothing=0.1,
    distillation=0.7,
    temperature=2.0,
)


class NormedNet(nn.Module):
    """Batch norms behind a convolution and behind a depthwise one, and one of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8, momentum=0.3)
        self.bn3 = nn.BatchNorm1d(8, affine=False)
        self.fc = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.bn(self.conv(images)))
        maps = torch.relu(self.bn2(self.depthwise(maps)))
        logits: Tensor = self.fc(self.bn3(maps.amax((2, 3))))
        return logits


class RandomViews(Dataset[tuple[Tensor, int]]):
    """Noise, drawn anew from torch's generator at each access; remembers what was read."""

    def __init__(self, images: TinyImages, dies_after: int | None = None) -> None:
        self._images, self._dies_after = images, dies_after
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if len(self.read) == self._dies_after:
            os._exit(9)
        self.read.append(index)
        image, label = self._images[index]
        return image + 0.3 * torch.randn(image.shape), label


def net(seed: int) -> NormedNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return NormedNet()


def rounded(seed: int, reach: float) -> QuantizedNetwork:
    """A network that trains with its rounding, and has the images on a grid that goes up to `reach`."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    weights = {name: weight_grid(layers.get_parameter(f"{name}.weight"), 4) for name in ("0", "4")}
    grid = activation_grid(-2.0, reach, 8)
    quantized = QuantizedNetwork(layers, dict.fromkeys(weights, BitWidths(4, 8)), weights, {"images": grid})
    quantized.rounds_weights = True
    return quantized


def learned(
    team: Team | None,
    recipe: Recipe = RECIPE,
    *,
    taught: bool = True,
    quantized: bool = False,
    checkpoint: Path | None = None,
    stop_before: int | None = None,
    dies_after: int | None = None,
) -> Any:
    """What a training leaves behind; in a process that follows, the images that it has read."""
    views = RandomViews(bars(64, seed=0), dies_after if team is not None and team.rank else None)
    teacher = net(9) if taught else None
    if team is not None and team.rank > 0:
        # Weights and grids do not matter here.
        student = rounded(5, reach=1.0) if quantized else net(5)
        follow(student, teacher=net(6) if taught else None, train_set=views, recipe=recipe, seed=3, team=team)
        return views.read
    model, asked = rounded(1, reach=4.0) if quantized else net(1), 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop_before

    result = train(
        model,
        train_set=views,
        selection_set=bars(100, seed=1),
        calibration_set=bars(32, seed=2),
        recipe=recipe,
        seed=3,
        device=CPU,
        teacher=teacher,
        checkpoint=checkpoint,
        stop=stop,
        team=team,
    )
    return {"weights": model.state_dict(), "epoch": result.epoch, "accuracy": result.accuracy, "read": views.read}


def attempted(team: Team, recipe: Recipe, stop_before: int | None) -> Any:
    try:
        return learned(team, recipe, stop_before=stop_before)
    except AutoMLError as error:
        return type(error).__name__


def interrupted(team: Team, checkpoint: Path) -> Any:
    """A training that is stopped in its second epoch."""
    if team.rank == 0:
        with pytest.raises(InterruptedRunError, match="after 1 of 2 epochs"):
            learned(team, checkpoint=checkpoint, stop_before=6)
        return None
    return learned(team)


def resumed(team: Team, checkpoint: Path) -> Any:
    return learned(team, checkpoint=checkpoint)


def doomed(team: Team) -> Any:
    return learned(team, dies_after=20)


def assert_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        scale = float(tensor.abs().max()) or 1.0
        assert float((found[name] - tensor).abs().max()) <= 1e-4 * scale, name


@pytest.mark.parametrize("taught", [True, False])
def test_two_processes_train_to_the_same_weights_as_one(tmp_path: Path, taught: bool) -> None:
    expected = learned(None, taught=taught)
    leader, follower = in_two(shared, tmp_path, taught)

    assert_close(leader["weights"], expected["weights"])
    assert leader["epoch"] == expected["epoch"]
    assert abs(leader["accuracy"] - expected["accuracy"]) <= 0.01 + 1e-9  # one image
    # Of every batch the first 7 images and the other 8.
    whole = [expected["read"][start : start + 15] for start in range(0, len(expected["read"]), 15)]
    assert leader["read"] == [index for batch in whole for index in batch[:7]]
    assert follower == [index for batch in whole for index in batch[7:]]


def shared(team: Team, taught: bool) -> Any:
    return learned(team, taught=taught)


def test_two_processes_train_through_the_rounding_as_one_does(tmp_path: Path) -> None:
    leader, _ = in_two(rounding, tmp_path)
    assert_close(leader["weights"], learned(None, quantized=True)["weights"])


def rounding(team: Team) -> Any:
    return learned(team, quantized=True)


def test_a_training_that_two_processes_began_goes_on_in_one(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    in_two(interrupted, tmp_path, checkpoint)
    assert checkpoint.is_file()
    assert_close(learned(None, checkpoint=checkpoint)["weights"], learned(None)["weights"])


def test_a_training_that_one_process_began_goes_on_in_two(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(InterruptedRunError):
        learned(None, checkpoint=checkpoint, stop_before=6)
    leader, _ = in_two(resumed, tmp_path, checkpoint)
    assert_close(leader["weights"], learned(None)["weights"])


def test_all_processes_end_in_order_when_the_user_stops_or_the_loss_is_not_finite(tmp_path: Path) -> None:
    for name, recipe, stop_before, error in (
        ("stop", RECIPE, 3, "InterruptedRunError"),
        ("loss", replace(RECIPE, learning_rate=1e38, schedule="cosine"), None, "AutoMLError"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        leader, follower = in_two(attempted, folder, recipe, stop_before)
        assert leader == error
        assert isinstance(follower, list)


def test_a_leader_whose_helper_was_killed_says_so(tmp_path: Path) -> None:
    assert in_two(doomed, tmp_path) == [None]  # what `in_two` makes of a `LostProcessError`


@pytest.mark.parametrize("shape", [(7, 3, 4, 5), (7, 3)])
def test_a_batch_norm_of_two_processes_is_that_of_the_whole_batch(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = 100 + torch.randn(shape, generator=generator, dtype=torch.float64)
    toward = torch.randn(shape, generator=generator, dtype=torch.float64)
    expected = normalised(None, inputs, toward)
    parts = in_two(normalised, tmp_path, inputs, toward)
    for name in ("outputs", "of_inputs"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), expected[name])
    for name in ("of_weight", "of_bias"):
        torch.testing.assert_close(parts[0][name] + parts[1][name], expected[name])
    for name in ("running_mean", "running_var"):
        for part in parts:
            torch.testing.assert_close(part[name], expected[name])


def normalised(team: Team | None, inputs: Tensor, toward: Tensor) -> dict[str, Tensor]:
    """A batch norm of a process's part of the inputs, its gradients and its statistics."""
    norm = nn.BatchNorm1d(3) if inputs.ndim == 2 else nn.BatchNorm2d(3)
    norm = norm.double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
    if team is not None:
        rows = team.part(list(range(len(inputs))))
        inputs, toward = inputs[rows[0] : rows[-1] + 1], toward[rows[0] : rows[-1] + 1]
    inputs = inputs.clone().requires_grad_()
    if team is None:
        outputs = norm(inputs)
        (outputs * toward).sum().backward()
    else:
        with WholeBatchNorms(team):
            outputs = norm(inputs)
        (outputs * toward).sum().backward()
    found = {
        "outputs": outputs.detach(),
        "of_inputs": inputs.grad,
        "of_weight": norm.weight.grad,
        "of_bias": norm.bias.grad,
        "running_mean": norm.running_mean,
        "running_var": norm.running_var,
    }
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def test_a_batch_norm_in_eval_mode_is_left_alone() -> None:
    norm = nn.BatchNorm1d(3).eval()
    inputs = torch.arange(6.0).view(2, 3)
    with WholeBatchNorms(Team(0, 2, CPU)):  # there is no other process that it could ask
        torch.testing.assert_close(norm(inputs), inputs / (1 + 1e-5) ** 0.5)


def test_the_parts_of_a_batch_make_the_whole() -> None:
    batch = list(range(17))
    parts = [Team(rank, 5, CPU).part(batch) for rank in range(5)]
    assert [index for part in parts for index in part] == batch
    assert {len(part) for part in parts} == {3, 4}
