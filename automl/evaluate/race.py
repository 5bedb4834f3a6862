"""A race against the best policy so far: a clear loser is not measured on all images.

Both are measured on the same images, so that what counts is the spread of the differences, which is much smaller than
that of the divergences themselves.
"""

from dataclasses import dataclass

from torch import Tensor

RUNGS = (128, 512, 2048)
"""Images after which a policy may be given up (EvoPress has rungs of this kind for language models)."""
_STANDARD_ERRORS = 3.0
"""A policy is given up when it is worse by so many standard errors of the paired difference: one in 700 by chance."""


@dataclass(frozen=True, slots=True)
class Lap:
    """Per-image divergences of the policies that race, on the same images."""

    ours: Tensor  # [images], nats
    best: Tensor  # [images], nats

    @property
    def lost(self) -> bool:
        """Whether ours is worse beyond doubt."""
        difference = self.ours - self.best
        if len(difference) < 2:
            return False
        error = difference.std() / len(difference) ** 0.5
        return bool(difference.mean() > _STANDARD_ERRORS * error)

    def extrapolated(self, best_mean: float) -> float:
        """Divergence of ours on all images: that of the best, plus the difference on those that both have seen."""
        return best_mean + float((self.ours - self.best).mean())


def rung_reached(before: int, now: int) -> bool:
    """Whether one of `RUNGS` lies above `before` images and at or below `now`."""
    return any(before < rung <= now for rung in RUNGS)
