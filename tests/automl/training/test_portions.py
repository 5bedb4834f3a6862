from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from automl.training.portions import batch_images, portions
from automl.training.recipe import baseline_recipe
from automl.training.team import Team

RECIPE = replace(baseline_recipe(100), batch_size=7)
CPU = torch.device("cpu")


class Noise(Dataset[tuple[Tensor, int]]):
    """Views of torch's generator alone; the label is the index."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.rand(2), index


def loaded(epoch: int = 0, seed: int = 5, team: Team | None = None) -> list[tuple[Tensor, Tensor]]:
    return [(images, labels) for images, labels in portions(Noise(), RECIPE, seed, epoch, team)]


def test_the_parts_of_a_team_are_the_batches_of_one_process_view_by_view() -> None:
    whole = loaded()
    parts = [loaded(team=Team(rank, 3, CPU)) for rank in range(3)]
    assert [len(images) for images, _ in whole] == [7, 7, 7]  # a short last batch is left out
    for (images, labels), *mine in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([each for each, _ in mine]), images)
        assert torch.equal(torch.cat([each for _, each in mine]), labels)


def test_order_and_views_are_those_of_the_seed_and_the_epoch() -> None:
    def views(epoch: int, seed: int = 5) -> dict[int, float]:
        pairs = [zip(labels.tolist(), images[:, 0].tolist(), strict=True) for images, labels in loaded(epoch, seed)]
        return {label: value for batch in pairs for label, value in batch}

    first, again, next_epoch, other_seed = views(0), views(0), views(1), views(0, seed=6)
    assert list(first) == list(again)
    assert first == again
    for other in (next_epoch, other_seed):
        assert list(first) != list(other)
        assert not set(first.values()) & set(other.values())
    assert len(set(first.values())) == 21  # no two images in one view


def test_a_batch_is_no_larger_than_the_training_set() -> None:
    assert batch_images(Noise(), RECIPE) == 7
    assert batch_images(Noise(), replace(RECIPE, batch_size=64)) == 24
    assert [len(images) for images, _ in portions(Noise(), replace(RECIPE, batch_size=64), 0, 0, None)] == [24]
