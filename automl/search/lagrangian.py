"""The Lagrangian of the budgeted choice: losses plus priced costs, minimised over all widths at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.search.elimination import Edge, Elimination, Table, buckets
from automl.search.knapsack import Knapsack, Losses


@dataclass(frozen=True, slots=True, eq=False)
class Menu:
    """The widths that are looked at for now."""

    levels: tuple[NDArray[np.int64], ...]
    """For each group positions in `Knapsack.widths`, ascending."""
    widths: tuple[NDArray[np.float64], ...]
    """What each level costs as if it kept."""
    losses: Losses
    """What each level loses."""

    @classmethod
    def of(cls, knapsack: Knapsack, losses: Losses, levels: Sequence[NDArray[np.int64]]) -> "Menu":
        """The named levels as they are."""
        return cls(
            levels=tuple(levels),
            widths=tuple(row[chosen] for row, chosen in zip(knapsack.widths, levels, strict=True)),
            losses=tuple(row[chosen] for row, chosen in zip(losses, levels, strict=True)),
        )


class Lagrangian:
    """Minimises `losses + prices . costs` over a menu.

    Exact where the groups that share layers are few enough (chains, residual stages). Where they are not (dense
    concatenations), blocks of groups are minimised exactly, one after the other, the others held at their last widths;
    a second sweep at the same prices gained nothing measurable.
    """

    def __init__(self, knapsack: Knapsack, sizes: Sequence[int], most_entries: float) -> None:
        """Plans the eliminations.

        Args:
            knapsack: The groups and what they cost together.
            sizes: Levels per group that menus have, about.
            most_entries: Entries of the largest table.
        """
        self._knapsack = knapsack
        self.blocks = tuple(_blocks(knapsack.edges, sizes, most_entries))
        """Eliminations that together cover every group; where there is only one, the minimum is the true one."""

    def entries(self, sizes: Sequence[int]) -> float:
        """Entries of all tables of one minimisation over menus of these sizes."""
        return sum(block.entries(sizes) for block in self.blocks)

    def minimise(self, menu: Menu, prices: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.int64]:
        """The positions in `menu` at which the Lagrangian is least.

        Args:
            menu: The widths to choose from.
            prices: Shape `(limits,)`: loss per unit of cost.
            start: Shape `(groups,)`: widths at which groups outside the first block are held.
        """
        held = start.copy()
        chosen = np.zeros(len(held), dtype=np.int64)
        for block in self.blocks:
            for group, position in block.choices(self.tables(block, menu, prices, held)).items():
                chosen[group] = position
                held[group] = menu.widths[group][position]
            self._follow(menu, chosen, held)
        return chosen

    def tables(
        self, block: Elimination, menu: Menu, prices: NDArray[np.float64], held: NDArray[np.float64]
    ) -> dict[int, Table]:
        """The eliminated tables of one block; groups outside it keep the widths `held`."""
        products = np.tensordot(prices, self._knapsack.products, axes=1)  # [groups, groups]
        outside = held.copy()
        outside[list(block.variables)] = 0.0
        slopes = prices @ self._knapsack.linear + products @ outside
        squares = prices @ self._knapsack.squares
        unary = {
            g: menu.losses[g] + menu.widths[g] * (slopes[g] + squares[g] * menu.widths[g]) for g in block.variables
        }
        pairs = [np.multiply.outer(products[a, b] * menu.widths[a], menu.widths[b]) for a, b in block.edges]
        self._tie(block, menu, unary, pairs, held)
        return block.tables(unary, pairs)

    def _tie(
        self,
        block: Elimination,
        menu: Menu,
        unary: dict[int, Table],
        pairs: list[Table],
        held: NDArray[np.float64],
    ) -> None:
        """Forbids that a branch is 0 and what only it reads is not, or the other way round."""
        for branch, partner in self._knapsack.together:
            if branch in unary and partner in unary:
                edge = (branch, partner) if (branch, partner) in block.edges else (partner, branch)
                clash = np.not_equal.outer(*(menu.widths[group] == 0 for group in edge))
                pairs[block.edges.index(edge)][clash] = np.inf
            elif partner in unary:
                clash = (menu.widths[partner] == 0) != (held[branch] == 0)
                unary[partner] = np.where(clash, np.inf, unary[partner])

    def _follow(self, menu: Menu, chosen: NDArray[np.int64], held: NDArray[np.float64]) -> None:
        """Drops with a branch what only it reads, and brings it back at its least width."""
        for branch, partner in self._knapsack.together:
            if (held[branch] == 0) != (held[partner] == 0):
                chosen[partner] = 0 if held[branch] == 0 else 1
                held[partner] = menu.widths[partner][chosen[partner]]


def _blocks(edges: Sequence[Edge], sizes: Sequence[int], most_entries: float) -> list[Elimination]:
    blocks: list[Elimination] = []
    covered: set[int] = set()
    while len(covered) < len(sizes):
        steps = buckets(sizes, edges, most_entries, covered)
        blocks.append(Elimination(steps, edges))
        covered.update(blocks[-1].variables)
    return blocks
