import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.search.elimination import Bucket, Elimination, Scope, buckets

Tables = tuple[dict[int, NDArray[np.float64]], dict[Scope, NDArray[np.float64]]]
SIZES = (3, 4, 2, 3, 4, 2)
GRAPHS: dict[str, list[Scope]] = {
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)],
    "cycle": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)],
    "complete": list(itertools.combinations(range(6), 2)),
    "two parts": [(0, 1), (1, 2), (3, 4), (4, 5), (3, 5)],
    "three at once": [(1, 0, 2), (2, 3), (5, 3, 4)],
    "four at once": [(0, 1, 2, 3), (3, 4), (1, 4), (4, 2, 5)],
    "one within another": [(0, 1), (2, 1, 0), (3, 0, 2, 1), (5, 4)],
    "none": [],
}


def random_tables(elimination: Elimination, seed: int) -> Tables:
    random = np.random.default_rng(seed)
    unary = {v: random.random(size) for v, size in enumerate(SIZES)}
    shared = {scope: random.random([SIZES[v] for v in scope]) for scope in elimination.scopes}
    for table in list(shared.values())[:1]:
        table[0, 0] = np.inf
    return unary, shared


def total(values: tuple[int, ...], tables: Tables) -> float:
    unary, shared = tables
    single = sum(float(table[values[v]]) for v, table in unary.items())
    return single + sum(float(table[tuple(values[v] for v in scope)]) for scope, table in shared.items())


@pytest.mark.parametrize("name", GRAPHS)
def test_the_minimum_is_that_of_trying_everything(name: str) -> None:
    elimination = Elimination(buckets(SIZES, GRAPHS[name]), GRAPHS[name])
    for seed in range(5):
        tables = random_tables(elimination, seed)
        eliminated = elimination.tables(tables[0], [tables[1][scope] for scope in elimination.scopes])
        best = min(itertools.product(*map(range, SIZES)), key=lambda values: total(values, tables))
        chosen = elimination.choices(eliminated)
        assert tuple(chosen[v] for v in range(len(SIZES))) == best
        assert elimination.minimum(eliminated) == pytest.approx(total(best, tables))


@pytest.mark.parametrize("name", GRAPHS)
def test_every_marginal_is_the_minimum_with_that_entry_held(name: str) -> None:
    elimination = Elimination(buckets(SIZES, GRAPHS[name]), GRAPHS[name])
    tables = random_tables(elimination, 7)
    eliminated = elimination.tables(tables[0], [tables[1][scope] for scope in elimination.scopes])
    marginals = elimination.marginals(eliminated)
    everything = [(values, total(values, tables)) for values in itertools.product(*map(range, SIZES))]
    for bucket in elimination.buckets:
        for entry in np.ndindex(marginals[bucket.variable].shape):
            fitting = [sum_ for values, sum_ in everything if tuple(values[v] for v in bucket.scope) == entry]
            assert marginals[bucket.variable][entry] == pytest.approx(min(fitting))


def test_a_chain_needs_tables_of_two_and_a_cycle_tables_of_three() -> None:
    assert max(len(bucket.scope) for bucket in buckets(SIZES, GRAPHS["chain"])) == 2
    assert max(len(bucket.scope) for bucket in buckets(SIZES, GRAPHS["cycle"])) == 3


def test_variables_are_left_out_until_no_table_is_too_large() -> None:
    steps = buckets(SIZES, GRAPHS["complete"], cap=12)
    assert 0 < len(steps) < len(SIZES)
    assert all(np.prod([SIZES[v] for v in bucket.scope]) <= 12 for bucket in steps)
    covered = {bucket.variable for bucket in steps}
    rest = buckets(SIZES, GRAPHS["complete"], cap=12, spare=covered)
    assert {bucket.variable for bucket in rest} - covered


def test_what_is_left_of_a_scope_when_variables_are_held_has_a_table_of_its_own() -> None:
    scopes: list[Scope] = [(0, 1, 2, 3), (3, 4)]
    steps = [bucket for bucket in buckets(SIZES, scopes) if bucket.variable not in {1, 3}]
    held = Elimination([Bucket(b.variable, tuple(n for n in b.neighbours if n not in {1, 3})) for b in steps], scopes)
    assert [set(scope) for scope in held.scopes] == [{0, 2}]
    assert held.left((4, 3)) == (4,)
