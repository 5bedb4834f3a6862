import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.search.elimination import Edge, Elimination, buckets

Tables = tuple[dict[int, NDArray[np.float64]], dict[Edge, NDArray[np.float64]]]
SIZES = (3, 4, 2, 3, 4, 2)
GRAPHS = {
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)],
    "cycle": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)],
    "complete": list(itertools.combinations(range(6), 2)),
    "two parts": [(0, 1), (1, 2), (3, 4), (4, 5), (3, 5)],
    "none": [],
}


def random_tables(elimination: Elimination, seed: int) -> Tables:
    random = np.random.default_rng(seed)
    unary = {v: random.random(size) for v, size in enumerate(SIZES)}
    pairs = {(a, b): random.random((SIZES[a], SIZES[b])) for a, b in elimination.edges}
    for pair in list(pairs.values())[:1]:
        pair[0, 0] = np.inf
    return unary, pairs


def total(values: tuple[int, ...], tables: Tables) -> float:
    unary, pairs = tables
    single = sum(float(table[values[v]]) for v, table in unary.items())
    return single + sum(float(table[values[a], values[b]]) for (a, b), table in pairs.items())


@pytest.mark.parametrize("name", GRAPHS)
def test_the_minimum_is_that_of_trying_everything(name: str) -> None:
    elimination = Elimination(buckets(SIZES, GRAPHS[name]), GRAPHS[name])
    for seed in range(5):
        tables = random_tables(elimination, seed)
        eliminated = elimination.tables(tables[0], [tables[1][edge] for edge in elimination.edges])
        best = min(itertools.product(*map(range, SIZES)), key=lambda values: total(values, tables))
        chosen = elimination.choices(eliminated)
        assert tuple(chosen[v] for v in range(len(SIZES))) == best
        assert elimination.minimum(eliminated) == pytest.approx(total(best, tables))


@pytest.mark.parametrize("name", GRAPHS)
def test_every_marginal_is_the_minimum_with_that_entry_held(name: str) -> None:
    elimination = Elimination(buckets(SIZES, GRAPHS[name]), GRAPHS[name])
    tables = random_tables(elimination, 7)
    eliminated = elimination.tables(tables[0], [tables[1][edge] for edge in elimination.edges])
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
