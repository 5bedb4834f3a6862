import copy

import pytest
import torch
from torch import Tensor, nn

from automl.core.errors import InterruptedRunError
from automl.training.distillation import divergences
from automl.training.loop import train
from automl.training.together import distil_together
from tests.automl.training.conftest import TinyNet, bars
from tests.automl.training.test_loop import CPU, RECIPE

TRAIN = bars(96, seed=0, labelled=False)


class Counted(nn.Module):
    """Counts the batches that it answers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.batches = 0

    def forward(self, images: Tensor) -> Tensor:
        self.batches += 1
        logits: Tensor = self.network(images)
        return logits


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    torch.manual_seed(3)
    model = TinyNet()
    train(
        model,
        train_set=bars(96, seed=0),
        selection_set=bars(64, seed=1),
        calibration_set=bars(32, seed=2),
        recipe=RECIPE,
        seed=0,
        device=CPU,
    )
    return model


def distilled(networks: list[nn.Module], teacher: nn.Module, steps: int = 6) -> None:
    distil_together(networks, teacher, TRAIN, recipe=RECIPE, steps=steps, seed=5, device=CPU, stop=lambda: False)


def distance(model: nn.Module, teacher: nn.Module) -> float:
    images = torch.stack([TRAIN[index][0] for index in range(96)])
    with torch.no_grad():
        return float(divergences(model.eval()(images), teacher.eval()(images)).mean())


def test_every_network_comes_nearer_to_the_teacher(teacher: nn.Module) -> None:
    networks: list[nn.Module] = [TinyNet() for _ in range(3)]
    before = [distance(network, teacher) for network in networks]
    distilled(networks, teacher)
    after = [distance(network, teacher) for network in networks]

    assert all(one < other for one, other in zip(after, before, strict=True))


def test_a_network_learns_the_same_alone_and_in_company(teacher: nn.Module) -> None:
    torch.manual_seed(1)
    alone = TinyNet()
    alone.drop.p = 0.0  # which would draw other numbers
    first, second = copy.deepcopy(alone), TinyNet()
    distilled([alone], teacher)
    distilled([second, first], teacher)

    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, first.state_dict()[name])


def test_the_teacher_answers_once_per_batch_and_there_are_no_more_batches_than_asked(teacher: nn.Module) -> None:
    counted = Counted(teacher)
    distilled([TinyNet(), TinyNet()], counted, steps=4)
    assert counted.batches == 4
    distilled([TinyNet()], counted, steps=100)
    assert counted.batches == 4 + 96 // RECIPE.batch_size


def test_flags_gradients_and_the_global_generator_are_left_as_they_were(teacher: nn.Module) -> None:
    network = TinyNet().eval()
    state = torch.get_rng_state()
    distilled([network], teacher)

    assert torch.equal(state, torch.get_rng_state())
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_it_stops_when_the_user_wants_to(teacher: nn.Module) -> None:
    with pytest.raises(InterruptedRunError):
        distil_together([TinyNet()], teacher, TRAIN, recipe=RECIPE, steps=4, seed=5, device=CPU, stop=lambda: True)
