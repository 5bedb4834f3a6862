"""A cost as a quadratic form of what can be seen of the widths, which is what an exact solver can take apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.view import WIDTH, View, lifted

_STEP = 2.0**-38
"""Of coefficients on the grid: sums of them are exact up to 2^14, which is sixteen seconds in milliseconds."""


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticForm:
    """`constant + sum(linear[i] x[i]) + sum(products[i, j] x[i] x[j])`, where x holds the views of all widths.

    View k of group g is `x[g * len(views) + k]`. A layer that reads group g and makes group h adds to the products of
    their views.
    """

    constant: float
    """What no width changes."""
    linear: NDArray[np.float64]
    """Shape `(groups * views,)`: cost per unit of each view; per kept channel where the view is the width."""
    products: NDArray[np.float64]
    """Shape `(groups * views, groups * views)`, zero below the diagonal: cost per product of two views."""
    views: tuple[View, ...] = (WIDTH,)
    """What the cost sees of each width."""

    def __call__(self, widths: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """The costs, of shape `(policies,)`, of `widths`, of shape `(policies, groups)`.

        Whole coefficients and widths give whole costs, exact up to 2^53; so do those of `on_grid`, in its steps.
        """
        values = lifted(widths, self.views)
        slopes = values @ self.products + self.linear  # [policies, groups * views]
        return np.asarray(np.einsum("pg,pg->p", slopes, values) + self.constant, dtype=np.float64)

    def scaled(self, factor: float) -> "QuadraticForm":
        """The form whose every value is `factor` times this one's."""
        return QuadraticForm(self.constant * factor, self.linear * factor, self.products * factor, self.views)

    def on_grid(self) -> "QuadraticForm":
        """The form with each coefficient rounded to a step of 2^-38.

        Then whole widths cost the same in whatever order a sum is taken, so that a limit cannot hold in one place and
        be broken by rounding in another.
        """
        linear, products = (np.rint(each / _STEP) * _STEP for each in (self.linear, self.products))
        return QuadraticForm(round(self.constant / _STEP) * _STEP, linear, products, self.views)
