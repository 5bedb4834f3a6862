"""The batches of an epoch: the same images in the same order and in the same views, whichever process loads them."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from automl.data.splits import batches
from automl.training.recipe import Recipe
from automl.training.team import Team

LabelledImages = Dataset[tuple[Tensor, int]]
"""Images `[C, H, W]`, each with its class, or -1 where it is not known."""


def portions(
    images: LabelledImages, recipe: Recipe, seed: int, epoch: int, team: Team | None
) -> DataLoader[tuple[Tensor, int]]:
    """Shuffled batches of (images `[N, C, H, W]`, labels `[N]`); of each this process's part, where there is a team.

    Args:
        images: The training set.
        recipe: Has the batch size.
        seed: Of the training.
        epoch: Counted from 0; every random number follows from this and the seed.
        team: None where this process trains alone.
    """
    count = len(images)  # type: ignore[arg-type]
    order, *seeds = np.random.SeedSequence((seed, epoch)).generate_state(1 + count).tolist()
    views = _Views(images, seeds)
    # A short last batch has noisy batch-norm statistics, and one of a single image has none.
    several = count > recipe.batch_size
    whole = batches(views, recipe.batch_size, shuffle_seed=order, drop_last=several)
    if team is None:
        return whole
    parts = _Parts(cast(BatchSampler, whole.batch_sampler), team)
    return DataLoader(views, batch_sampler=parts, generator=whole.generator)


def seed_epoch(seed: int, epoch: int, rank: int = 0) -> None:
    """Seeds torch's generators for what the network itself draws, such as dropout: in each process other numbers."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0]) + rank)


def batch_images(images: LabelledImages, recipe: Recipe) -> int:
    """How many images each batch has."""
    return min(recipe.batch_size, len(images))  # type: ignore[arg-type]


class _Views(Dataset[tuple[Tensor, int]]):
    """Draws the random view of each image from a seed of its own: a process need not load what others train with."""

    def __init__(self, images: LabelledImages, seeds: Sequence[int]) -> None:
        self._images, self._seeds = images, seeds

    def __len__(self) -> int:
        return len(self._seeds)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        # `torch.manual_seed` takes a hundred times as long, as it looks at every kind of device.
        torch.default_generator.manual_seed(self._seeds[index])
        return self._images[index]


class _Parts(Sampler[list[int]]):
    """This process's part of each batch."""

    def __init__(self, whole: BatchSampler, team: Team) -> None:
        self._whole, self._team = whole, team

    def __len__(self) -> int:
        return len(self._whole)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._whole:
            yield self._team.part(batch)
