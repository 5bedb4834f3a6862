import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from automl.core.errors import AutoMLError, DataError, InterruptedRunError, RunError
from automl.training.loop import EpochReport, TrainResult, train
from automl.training.recipe import Recipe
from tests.automl.training.conftest import TinyImages, TinyNet, bars

RECIPE = Recipe(
    epochs=4,
    learning_rate=0.1,
    batch_size=16,
    weight_decay=1e-4,
    schedule="one-cycle",
    label_smoothing=0.0,
    distillation=0.9,
    temperature=2.0,
)
CPU = torch.device("cpu")


class Killed(Exception):
    """Stands for SIGKILL."""


class Shifted(nn.Module):
    """A batch norm and a fixed classifier: class 1 where the normalised image is bright on average."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        self.fc = nn.Linear(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.bn(images).mean((2, 3)))
        return logits


def run(
    model: nn.Module,
    recipe: Recipe = RECIPE,
    *,
    labelled: bool = True,
    teacher: nn.Module | None = None,
    seed: int = 1,
    checkpoint: Path | None = None,
    kill_after: int | None = None,
    reports: list[EpochReport] | None = None,
) -> TrainResult:
    def on_epoch(report: EpochReport) -> None:
        if reports is not None:
            reports.append(report)
        if report.epoch == kill_after:
            raise Killed

    return train(
        model,
        train_set=bars(96, seed=0, labelled=labelled),
        selection_set=bars(64, seed=1, labelled=labelled),
        calibration_set=bars(32, seed=2, labelled=labelled),
        recipe=recipe,
        seed=seed,
        device=CPU,
        teacher=teacher,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )


def weights(model: nn.Module) -> Mapping[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def share_right(model: nn.Module, data: TinyImages) -> float:
    with torch.no_grad():
        return float((model(data.images).argmax(1) == data.labels).double().mean())


def test_a_network_learns(tiny_net: TinyNet) -> None:
    result = run(tiny_net, replace(RECIPE, epochs=15))
    assert result.accuracy > 0.9
    assert 1 <= result.epoch <= result.epochs == 15
    assert result.seconds > 0


def test_the_network_holds_the_weights_that_the_result_speaks_of(tiny_net: TinyNet) -> None:
    reports: list[EpochReport] = []
    # Far too high a rate, so that the last epoch is not the best one.
    result = run(tiny_net, replace(RECIPE, learning_rate=1.0, epochs=6), reports=reports)
    assert result.accuracy >= max(report.accuracy for report in reports)
    assert share_right(tiny_net.eval(), bars(64, seed=1)) == result.accuracy


def test_an_epoch_says_the_rate_of_its_last_step(tiny_net: TinyNet) -> None:
    reports: list[EpochReport] = []
    run(tiny_net, replace(RECIPE, schedule="cosine", epochs=2), reports=reports)
    steps = 96 // RECIPE.batch_size
    expected = [RECIPE.learning_rate * (1 + math.cos(math.pi * (n * steps - 1) / (2 * steps))) / 2 for n in (1, 2)]
    assert [report.learning_rate for report in reports] == pytest.approx(expected)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny_net: TinyNet) -> None:
    again, other = copy.deepcopy(tiny_net), copy.deepcopy(tiny_net)
    run(tiny_net)
    torch.rand(1)  # What others draw in between does not matter.
    run(again)
    run(other, seed=2)
    assert same(weights(tiny_net), weights(again))
    assert not same(weights(tiny_net), weights(other))


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
@pytest.mark.parametrize("killed_after", [1, 3, 4])
def test_a_killed_training_goes_on_bit_for_bit(
    tiny_net: TinyNet, tmp_path: Path, schedule: str, killed_after: int
) -> None:
    recipe = replace(RECIPE, schedule="cosine" if schedule == "cosine" else "one-cycle")
    whole, resumed = copy.deepcopy(tiny_net), copy.deepcopy(tiny_net)
    expected = run(whole, recipe)
    with pytest.raises(Killed):
        run(tiny_net, recipe, checkpoint=tmp_path / "training.pt", kill_after=killed_after)
    reports: list[EpochReport] = []

    result = run(resumed, recipe, checkpoint=tmp_path / "training.pt", reports=reports)

    assert [report.epoch for report in reports] == list(range(killed_after + 1, 5))
    assert same(weights(resumed), weights(whole))
    assert (result.accuracy, result.epoch) == (expected.accuracy, expected.epoch)


def test_a_stop_ends_the_training_and_the_next_one_goes_on(tiny_net: TinyNet, tmp_path: Path) -> None:
    whole, fresh = copy.deepcopy(tiny_net), copy.deepcopy(tiny_net)
    run(whole)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 9  # 6 steps an epoch: in the middle of the second one

    with pytest.raises(InterruptedRunError, match="after 1 of 4 epochs"):
        train(
            tiny_net,
            train_set=bars(96, seed=0),
            selection_set=bars(64, seed=1),
            calibration_set=bars(32, seed=2),
            recipe=RECIPE,
            seed=1,
            device=CPU,
            checkpoint=tmp_path / "training.pt",
            stop=stop,
        )
    run(fresh, checkpoint=tmp_path / "training.pt")
    assert same(weights(fresh), weights(whole))


def test_another_trainings_checkpoint_is_refused(tiny_net: TinyNet, tmp_path: Path) -> None:
    run(tiny_net, checkpoint=tmp_path / "training.pt")
    with pytest.raises(RunError, match="seed was 1 and is 2"):
        run(tiny_net, seed=2, checkpoint=tmp_path / "training.pt")


def test_the_last_weights_are_kept_where_earlier_ones_are_as_good(tiny_net: TinyNet) -> None:
    run(tiny_net, replace(RECIPE, epochs=15))
    before = weights(tiny_net)
    # As accurate from the first epoch on; trained against smoothed labels, the loss rises all the while.
    result = run(tiny_net, replace(RECIPE, learning_rate=1e-3, label_smoothing=0.5, epochs=3))
    assert result.epoch == result.epochs == 3
    assert not same(weights(tiny_net), before)


def test_weights_that_training_ruins_are_kept_as_they_were(tiny_net: TinyNet) -> None:
    first = run(tiny_net, replace(RECIPE, epochs=15))
    before = weights(tiny_net)
    result = run(tiny_net, replace(RECIPE, learning_rate=3.0, epochs=1))
    assert result.accuracy == first.accuracy
    assert result.epoch == 0
    assert same(weights(tiny_net), before)


@pytest.mark.parametrize(("epochs", "accuracy", "mean"), [(0, 0.5, 0), (1, 1.0, 100)])
def test_batch_norm_is_recalibrated_after_every_epoch(epochs: int, accuracy: float, mean: float) -> None:
    # Bright and dark images around 100: with the fresh statistics (mean 0) every image is bright.
    labels = torch.arange(64) % 2
    images = (100 + 2.0 * labels - 1)[:, None, None, None].expand(-1, 1, 2, 2).clone()
    data, model = TinyImages(images, labels), Shifted()
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model.fc.bias.zero_()
    assert share_right(model.eval(), data) == 0.5

    result = train(
        model,
        train_set=data,
        selection_set=data,
        calibration_set=data,
        recipe=replace(RECIPE, epochs=epochs, learning_rate=1e-6),
        seed=0,
        device=CPU,
    )

    assert result.accuracy == accuracy
    assert model.bn.running_mean is not None
    assert model.bn.running_mean.item() == pytest.approx(mean)


def test_without_labels_a_network_learns_to_agree_with_its_teacher(tiny_net: TinyNet) -> None:
    student = TinyNet()
    run(tiny_net, replace(RECIPE, epochs=15))
    before = weights(tiny_net)

    result = run(student, replace(RECIPE, epochs=15), labelled=False, teacher=tiny_net)

    assert result.accuracy > 0.9
    assert same(weights(tiny_net), before)
    assert all(parameter.grad is None for parameter in tiny_net.parameters())


def test_without_labels_and_teacher_the_training_is_refused(tiny_net: TinyNet) -> None:
    with pytest.raises(DataError, match="teacher"):
        run(tiny_net, labelled=False)


def test_a_loss_that_is_not_finite_ends_the_training_with_the_way_out(tiny_net: TinyNet) -> None:
    with pytest.raises(AutoMLError, match="Lower the learning rate of 1e\\+38"):
        run(tiny_net, replace(RECIPE, learning_rate=1e38, schedule="cosine"))


def test_flags_layout_and_torchs_generator_are_as_before(tiny_net: TinyNet) -> None:
    teacher = copy.deepcopy(tiny_net).train()
    tiny_net.train()
    tiny_net.bn.eval()
    generator = torch.get_rng_state()
    run(tiny_net, teacher=teacher)
    assert (tiny_net.training, tiny_net.bn.training, tiny_net.drop.training) == (True, False, True)
    assert teacher.training
    assert tiny_net.conv.weight.is_contiguous()
    assert torch.equal(torch.get_rng_state(), generator)


def test_frozen_parameters_stay(tiny_net: TinyNet) -> None:
    tiny_net.conv.weight.requires_grad_(False)
    before = tiny_net.conv.weight.clone()
    run(tiny_net)
    assert torch.equal(tiny_net.conv.weight, before)


def test_a_last_batch_of_one_image_does_not_reach_batch_norm(tiny_net: TinyNet) -> None:
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 2))
    result = train(
        pooled,
        train_set=bars(17, seed=0),
        selection_set=bars(8, seed=1),
        calibration_set=bars(65, seed=2),
        recipe=replace(RECIPE, epochs=1),
        seed=0,
        device=CPU,
    )
    assert result.epochs == 1
