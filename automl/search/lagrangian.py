"""The Lagrangian of the budgeted choice: losses plus priced costs, minimised over all widths and bits at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.search.bit_tables import BitTables
from automl.search.elimination import Elimination, Scope, Table, buckets
from automl.search.forms import own_costs, side_by_side
from automl.search.knapsack import Knapsack, Losses


@dataclass(frozen=True, eq=False)
class Menu:
    """The values that are looked at for now."""

    levels: tuple[NDArray[np.int64], ...]
    """For each variable positions in `Knapsack.values`, ascending."""
    values: tuple[NDArray[np.float64], ...]
    """What each level costs as if it were, by its bits; of widths the least that it stands for."""
    seen: tuple[NDArray[np.float64], ...]
    """For each group what the forms see of its levels, of shape `(views, levels)`: never more than of any value that a
    level stands for."""
    losses: Losses
    """What each level loses."""

    @classmethod
    def of(cls, knapsack: Knapsack, losses: Losses, levels: Sequence[NDArray[np.int64]]) -> "Menu":
        """The named levels as they are."""
        return cls(
            levels=tuple(levels),
            values=tuple(row[chosen] for row, chosen in zip(knapsack.values, levels, strict=True)),
            seen=tuple(rows.take(chosen, axis=1) for rows, chosen in zip(knapsack.seen, levels, strict=False)),
            losses=tuple(row[chosen] for row, chosen in zip(losses, levels, strict=True)),
        )

    @cached_property
    def side_by_side(self) -> NDArray[np.float64]:
        """Shape `(views, all levels of groups)`: what is seen of one group's levels after the other's."""
        return side_by_side(self.seen)

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """For each column of `side_by_side` its group."""
        levels = np.array([rows.shape[1] for rows in self.seen], dtype=np.int64)
        return np.repeat(np.arange(len(self.seen)), levels)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """For each group its first column of `side_by_side`."""
        return np.searchsorted(self.group, np.arange(len(self.seen)))


class Lagrangian:
    """Minimises `losses + prices . costs` over a menu.

    Exact where the groups that share layers are few enough (chains, residual stages). Where they are not (dense
    concatenations), blocks of variables are minimised exactly, one after the other, the others held at their last
    values; a second sweep at the same prices gained nothing measurable.
    """

    def __init__(self, knapsack: Knapsack, sizes: Sequence[int], most_entries: float) -> None:
        """Plans the eliminations.

        Args:
            knapsack: The variables and what they cost together.
            sizes: Levels per variable that menus have, about.
            most_entries: Entries of the largest table.
        """
        self._knapsack = knapsack
        self.blocks = tuple(_blocks(knapsack.scopes, sizes, most_entries))
        """Eliminations that together cover every variable; where there is only one, the minimum is the true one."""
        terms = knapsack.terms
        self._bits = {} if terms is None else {block: BitTables(terms, block) for block in self.blocks}

    def entries(self, sizes: Sequence[int]) -> float:
        """Entries of all tables of one minimisation over menus of these sizes."""
        return sum(block.entries(sizes) for block in self.blocks)

    def minimise(self, menu: Menu, prices: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.int64]:
        """The positions in `menu` at which the Lagrangian is least.

        Args:
            menu: The values to choose from.
            prices: Shape `(limits,)`: loss per unit of cost.
            start: Shape `(variables,)`: values at which variables outside the first block are held.
        """
        held = start.copy()
        chosen = np.zeros(len(held), dtype=np.int64)
        for block in self.blocks:
            for variable, position in block.choices(self.tables(block, menu, prices, held)).items():
                chosen[variable] = position
                held[variable] = menu.values[variable][position]
            self._follow(menu, chosen, held)
        return chosen

    def tables(
        self, block: Elimination, menu: Menu, prices: NDArray[np.float64], held: NDArray[np.float64]
    ) -> dict[int, Table]:
        """The eliminated tables of one block; variables outside it keep the values `held`."""
        groups = self._knapsack.groups
        products = np.tensordot(prices, self._knapsack.forms.by_group, axes=1)  # [views, groups, views, groups]
        unary = self._unary(block, menu, prices, products, held)
        shared: dict[Scope, Table] = {}
        for scope in block.scopes:
            if len(scope) == 2 and max(scope) < groups:
                a, b = scope
                shared[scope] = menu.seen[a].T.dot(products[:, a, :, b]).dot(menu.seen[b])
        if self._bits:
            self._bits[block].add(unary, shared, menu.values, prices, held)
        self._tie(menu, unary, shared, held)
        return block.tables(unary, [shared[scope] for scope in block.scopes])

    def _unary(
        self,
        block: Elimination,
        menu: Menu,
        prices: NDArray[np.float64],
        products: NDArray[np.float64],
        held: NDArray[np.float64],
    ) -> dict[int, Table]:
        """Variable -> losses and what its values cost by themselves, whatever the bits."""
        forms, groups = self._knapsack.forms, self._knapsack.groups
        outside = held[:groups].copy()
        outside[[v for v in block.variables if v < groups]] = 0.0
        elsewhere = forms.lifted(outside)
        slopes = prices @ forms.linear + products.reshape(elsewhere.size, elsewhere.size) @ elsewhere.ravel()
        squares = np.einsum("l,lkjg->kjg", prices, forms.squares)
        slopes = slopes.reshape(elsewhere.shape)[:, menu.group]  # [views, all levels]
        (costs,) = own_costs(slopes[None], squares[:, :, menu.group][None], menu.side_by_side)
        of_groups = {v: costs[start : start + len(menu.losses[v])] for v, start in enumerate(menu.starts.tolist())}
        return {v: menu.losses[v] + of_groups[v] if v < groups else menu.losses[v] for v in block.variables}

    def _tie(self, menu: Menu, unary: dict[int, Table], shared: dict[Scope, Table], held: NDArray[np.float64]) -> None:
        """Forbids that a branch is 0 and what only it reads is not, or the other way round."""
        for branch, partner in self._knapsack.together:
            if branch in unary and partner in unary:
                pair = (branch, partner) if (branch, partner) in shared else (partner, branch)
                zeros = [int(menu.values[group][0] == 0) for group in pair]  # of each, as values ascend
                shared[pair][: zeros[0], zeros[1] :] = np.inf
                shared[pair][zeros[0] :, : zeros[1]] = np.inf
            elif partner in unary:
                clash = (menu.values[partner] == 0) != (held[branch] == 0)
                unary[partner] = np.where(clash, np.inf, unary[partner])

    def _follow(self, menu: Menu, chosen: NDArray[np.int64], held: NDArray[np.float64]) -> None:
        """Drops with a branch what only it reads, and brings it back at its least width."""
        for branch, partner in self._knapsack.together:
            if (held[branch] == 0) != (held[partner] == 0):
                chosen[partner] = 0 if held[branch] == 0 else 1
                held[partner] = menu.values[partner][chosen[partner]]


def _blocks(scopes: Sequence[Scope], sizes: Sequence[int], most_entries: float) -> list[Elimination]:
    blocks: list[Elimination] = []
    covered: set[int] = set()
    while len(covered) < len(sizes):
        steps = buckets(sizes, scopes, most_entries, covered)
        blocks.append(Elimination(steps, scopes))
        covered.update(blocks[-1].variables)
    return blocks
