"""Sums of products of two dimensions, as quadratic forms of the widths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.graph import Extent
from automl.core.quadratic import QuadraticForm
from automl.core.view import WIDTH, View

ONE = Extent(1)


@dataclass(frozen=True, slots=True)
class Product:
    """A scale and what a cost sees of two dimensions that a policy can change; one summand of the cost."""

    scale: float
    first: Extent
    second: Extent = ONE
    first_view: View = WIDTH
    second_view: View = WIDTH


def form_of(products: Sequence[Product], groups: Sequence[str], views: tuple[View, ...] = (WIDTH,)) -> QuadraticForm:
    """The sum of `products`; `groups` fixes the order of the widths, and `views` holds all that products see."""
    scale = np.array([product.scale for product in products], dtype=np.float64)
    first = _seen([(product.first, product.first_view) for product in products], groups, views)
    second = _seen([(product.second, product.second_view) for product in products], groups, views)
    crossed = (first * scale) @ second.T  # row and column 0 are the fixed parts
    pairs = np.triu(crossed) + np.triu(crossed.T, 1)
    return QuadraticForm(float(pairs[0, 0]), pairs[0, 1:], pairs[1:, 1:], views)


def affine(extents: Sequence[Extent], groups: Sequence[str]) -> NDArray[np.float64]:
    """Shape `(1 + groups, extents)`: the fixed part, then the entries per kept channel of each group."""
    return _seen([(extent, WIDTH) for extent in extents], groups, (WIDTH,))


def _seen(
    dimensions: Sequence[tuple[Extent, View]], groups: Sequence[str], views: tuple[View, ...]
) -> NDArray[np.float64]:
    """Shape `(1 + groups * views, dimensions)`: the fixed part, then the entries per unit of each view.

    A concatenation is seen part by part.
    """
    row = {name: 1 + index * len(views) for index, name in enumerate(groups)}
    matrix = np.zeros((1 + len(groups) * len(views), len(dimensions)), dtype=np.float64)
    for column, (extent, view) in enumerate(dimensions):
        matrix[0, column] = float(view(np.array(extent.fixed)))
        for name, entries in extent.terms:
            matrix[row[name] + views.index(view), column] += entries
    return matrix
