"""The quadratic forms of all limits as arrays, over one set of views."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.core.quadratic import QuadraticForm
from automl.core.view import WIDTH, View


@dataclass(frozen=True, eq=False)
class Forms:
    """For each limit a cost of x, the views of the widths: `constant + linear x + own parts + x products x / 2`.

    View k of group g is `x[k * groups + g]`, so that the first entries are the widths themselves.
    """

    views: tuple[View, ...]
    """All that any limit sees; the width first, whether one does or not."""
    constant: NDArray[np.float64]
    """Shape `(limits,)`."""
    linear: NDArray[np.float64]
    """Shape `(limits, views * groups)`."""
    squares: NDArray[np.float64]
    """Shape `(limits, views, views, groups)`: cost per product of two views of one group; those are its own part."""
    products: NDArray[np.float64]
    """Shape `(limits, views * groups, views * groups)`: symmetric, zero between the views of one group."""

    @classmethod
    def of(cls, forms: Sequence[QuadraticForm]) -> "Forms":
        """The same costs; one form per limit, of which each counts 0 in the views that only others have."""
        views = tuple(dict.fromkeys((WIDTH, *(view for form in forms for view in form.views))))
        groups = len(forms[0].linear) // len(forms[0].views)
        linear = np.zeros((len(forms), len(views) * groups))
        upper = np.zeros((len(forms), len(views) * groups, len(views) * groups))
        for limit, form in enumerate(forms):
            places = [views.index(view) * groups + group for group in range(groups) for view in form.views]
            linear[limit, places] = form.linear
            upper[limit][np.ix_(places, places)] = form.products
        by_group = upper.reshape(len(forms), len(views), groups, len(views), groups)
        squares = np.diagonal(by_group, axis1=2, axis2=4).copy()
        by_group[:, :, np.arange(groups), :, np.arange(groups)] = 0.0
        constant = np.array([form.constant for form in forms])
        return cls(views, constant, linear, squares, upper + upper.transpose(0, 2, 1))

    @property
    def groups(self) -> int:
        """How many widths there are."""
        return int(self.squares.shape[-1])

    def lifted(self, widths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(views, *widths.shape)`: what is seen of each width."""
        return np.array([view(widths) for view in self.views])

    def costs(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits,)` for `seen`, the views of the widths, of shape `(views, groups)`.

        Exact where coefficients are whole or `QuadraticForm.on_grid`.
        """
        flat = seen.ravel()
        return np.asarray(self.constant + (self.linear + self._halves @ flat) @ flat, dtype=np.float64)

    def slopes(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape `(limits, views, groups)`: cost per unit of each view, its group's own products left out.

        Args:
            seen: Shape `(views, groups)`.
        """
        slopes = self.linear + self.products @ seen.ravel()
        return np.asarray(slopes.reshape(len(slopes), *seen.shape), dtype=np.float64)

    @cached_property
    def _halves(self) -> NDArray[np.float64]:
        """All products, each half of them above and half below the diagonal."""
        halves = self.by_group / 2
        every = np.arange(self.groups)
        halves[:, :, every, :, every] += self.squares.transpose(3, 0, 1, 2)
        return np.asarray(halves.reshape(self.products.shape), dtype=np.float64)

    @property
    def by_group(self) -> NDArray[np.float64]:
        """`products` in the shape `(limits, views, groups, views, groups)`."""
        return self.products.reshape(len(self.constant), len(self.views), self.groups, len(self.views), self.groups)

    def plus(self, added: NDArray[np.float64]) -> "Forms":
        """These costs and more.

        Args:
            added: Shape `(limits, 1 + groups, 1 + groups)`, zero below the diagonal: cost per product of two widths,
                of which the first is 1.
        """
        groups = self.groups
        upper = np.triu(added[:, 1:, 1:], 1)
        linear, squares, products = self.linear.copy(), self.squares.copy(), self.products.copy()
        linear[:, :groups] += added[:, 0, 1:]
        squares[:, 0, 0] += np.diagonal(added, axis1=1, axis2=2)[:, 1:]
        products[:, :groups, :groups] += upper + upper.transpose(0, 2, 1)
        return Forms(self.views, self.constant + added[:, 0, 0], linear, squares, products)


def own_costs(
    slopes: NDArray[np.float64], squares: NDArray[np.float64], seen: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What each of many widths costs alone.

    Args:
        slopes: Shape `(limits, views, widths)`: cost per unit of each view.
        squares: Shape `(limits, views, views, widths)`: cost per product of two views.
        seen: Shape `(views, widths)`.

    Returns:
        Shape `(limits, widths)`.
    """
    bent = slopes + np.einsum("lkjw,jw->lkw", squares, seen)
    return np.asarray((bent * seen).sum(axis=1), dtype=np.float64)


def side_by_side(seen: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Shape `(views, all values)`, of one group's after the other's, for `seen` of shape `(views, values)` each."""
    return np.concatenate(seen, axis=1) if seen else np.empty((1, 0))
