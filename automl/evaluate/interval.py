"""Confidence intervals of accuracies, and of their differences on the same images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

_Z95 = 1.959964
"""Of the normal distribution, two-sided 95%."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How two networks differ on the same images; what counts is where one of them alone is right."""

    images: int
    """Images that both answered."""
    only_ours: int
    """Images that ours alone is right on."""
    only_theirs: int
    """Images that theirs alone is right on."""
    difference: float
    """Our accuracy less theirs, in [-1, 1]."""
    ci95: tuple[float, float]
    """Interval of `difference`, both ends in [-1, 1]."""
    same: bool
    """Whether both gave the same answer to every image; the difference and its interval are 0 then."""

    @property
    def told(self) -> bool:
        """Whether the interval leaves out 0, so that one can be called better."""
        low, high = self.ci95
        return low > 0 or high < 0


def wilson95(right: int, images: int) -> tuple[float, float]:
    """95% Wilson score interval of `right / images`, both ends in [0, 1] (Wilson 1927)."""
    interval = binomtest(right, images).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def paired95(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], *, same: bool = False) -> PairedDifference:
    """The difference of two accuracies on the same images, with its 95% interval (Bonett and Price 2012).

    Both have the same hard and easy images, which cancel: the interval follows from those that one alone is right on,
    one added to each of the two counts. It is much narrower than two intervals side by side suggest.

    Args:
        ours: Shape `(images,)`, at least one: whether our answer is right.
        theirs: The same of theirs.
        same: Whether the answers themselves are equal, right or wrong.

    Raises:
        ValueError: If there are not as many of one as of the other.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"{len(ours)} answers cannot be paired with {len(theirs)}")
    images, won, lost = len(ours), int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    if same:
        return PairedDifference(images, 0, 0, 0.0, (0.0, 0.0), same=True)
    more, less = (won + 1) / (images + 2), (lost + 1) / (images + 2)
    half = _Z95 * float(np.sqrt((more + less - (more - less) ** 2) / (images + 2)))
    ends = (max(-1.0, more - less - half), min(1.0, more - less + half))
    return PairedDifference(images, won, lost, (won - lost) / images, ends, same=False)
