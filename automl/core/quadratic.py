"""A cost as a quadratic form of the widths, which is what an exact solver can take apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticForm:
    """`constant + sum(linear[g] w[g]) + sum(products[g, h] w[g] w[h])`, for widths w.

    A layer that reads group g and makes group h adds to their product.
    """

    constant: float
    """What no width changes."""
    linear: NDArray[np.float64]
    """Shape `(groups,)`: cost per kept channel."""
    products: NDArray[np.float64]
    """Shape `(groups, groups)`, zero below the diagonal: cost per pair of kept channels."""

    def __call__(self, widths: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """The costs, of shape `(policies,)`, of `widths`, of shape `(policies, groups)`.

        Whole coefficients and widths give whole costs, exact up to 2^53.
        """
        values = np.asarray(widths, dtype=np.float64)
        slopes = values @ self.products + self.linear  # [policies, groups]
        return np.asarray(np.einsum("pg,pg->p", slopes, values) + self.constant, dtype=np.float64)

    def scaled(self, factor: float) -> "QuadraticForm":
        """The form whose every value is `factor` times this one's."""
        return QuadraticForm(self.constant * factor, self.linear * factor, self.products * factor)
