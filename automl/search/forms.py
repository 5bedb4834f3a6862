"""The quadratic forms of all limits as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.quadratic import QuadraticForm


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """For each limit a cost of the widths w: `constant + linear w + squares w^2 + w products w / 2`."""

    constant: NDArray[np.float64]
    """Shape `(limits,)`."""
    linear: NDArray[np.float64]
    """Shape `(limits, groups)`."""
    squares: NDArray[np.float64]
    """Shape `(limits, groups)`."""
    products: NDArray[np.float64]
    """Shape `(limits, groups, groups)`: symmetric, zero on the diagonal."""

    @classmethod
    def of(cls, forms: Sequence[QuadraticForm]) -> "Forms":
        """The same costs; one form per limit."""
        upper = np.array([np.triu(form.products, 1) for form in forms])
        return cls(
            constant=np.array([form.constant for form in forms]),
            linear=np.array([form.linear for form in forms]),
            squares=np.array([form.products.diagonal() for form in forms]),
            products=upper + upper.transpose(0, 2, 1),
        )

    def costs(self, widths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits,)` for `widths` of shape `(groups,)`; exact where coefficients are whole."""
        slopes = self.linear + self.squares * widths + (self.products @ widths) / 2
        return np.asarray(self.constant + slopes @ widths, dtype=np.float64)

    def slopes(self, widths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, groups)`: cost per channel of each group, its own square left out."""
        return np.asarray(self.linear + self.products @ widths, dtype=np.float64)

    def plus(self, added: NDArray[np.float64]) -> "Forms":
        """These costs and more.

        Args:
            added: Shape `(limits, 1 + groups, 1 + groups)`, zero below the diagonal: cost per product of two widths,
                of which the first is 1.
        """
        upper = np.triu(added[:, 1:, 1:], 1)
        return Forms(
            constant=self.constant + added[:, 0, 0],
            linear=self.linear + added[:, 0, 1:],
            squares=self.squares + np.diagonal(added, axis1=1, axis2=2)[:, 1:],
            products=self.products + upper + upper.transpose(0, 2, 1),
        )
