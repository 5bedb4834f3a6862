"""A race against the best policy so far: a clear loser is not measured on all images.

Both are measured on the same images, so that what counts is the spread of the differences, which is much smaller than
that of the divergences themselves.
"""

from dataclasses import dataclass

from torch import Tensor

RUNGS = {128: 3.0, 512: 1.0, 2048: 0.0}
"""Images -> a policy is given up after so many if it is worse by this many standard errors of the paired difference.

By chance that happens to an equal one once in 700 times at the first rung, and to every other one at the last: what is
not ahead there will hardly be the best, and its divergence is known well enough. (EvoPress has rungs of this kind.)
"""


@dataclass(frozen=True, slots=True)
class Lap:
    """One value per image of the policies that race, on the same images: divergences, or whether answers are right."""

    ours: Tensor  # [images]
    best: Tensor  # [images]

    def lost(self, margin: float) -> bool:
        """Whether ours is higher by more than `margin` standard errors."""
        difference = self.ours - self.best
        if len(difference) < 2:
            return False
        error = difference.std() / len(difference) ** 0.5
        return bool(difference.mean() > margin * error)

    def extrapolated(self, best_mean: float) -> float:
        """The mean of ours on all images: that of the best, plus the difference on those that both have seen."""
        return best_mean + float((self.ours - self.best).mean())


def margin_at(before: int, now: int) -> float | None:
    """The margin of the highest rung above `before` images and at or below `now`; None where there is none."""
    return next((margin for rung, margin in reversed(RUNGS.items()) if before < rung <= now), None)
