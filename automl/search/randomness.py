"""Random numbers that belong to one piece of work."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seeds Python, NumPy and torch inside the block, and puts them back where they were behind it.

    Stable-Baselines3 draws from the global generators; seeded for each piece of work, nothing of them needs storing.
    """
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002 - what SB3 draws from
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)  # noqa: NPY002
