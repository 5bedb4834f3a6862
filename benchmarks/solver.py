"""How fast the solver decodes a table, how long the certified optimum takes, and how far apart the two are.

Tables are random, in the shape of measured ones; networks are whole, with every group in multiples of 8 and every
branch that may be dropped.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.compress.probe import trace_prunable
from automl.core.budget import Budget
from automl.core.graph import ModelGraph
from automl.core.policy import dense_policy
from automl.costs.model import AnalyticCostModel
from automl.models.registry import build
from automl.search.certificate import certify
from automl.search.solver import Solver
from benchmarks.interval import Estimate, median95
from benchmarks.options import parser, shared
from benchmarks.report import Details, Report, Row, publish
from benchmarks.tables import random_table
from search_spaces.rules import WidthRule
from search_spaces.space import channel_space

NETS = ("torchvision:resnet50", "torchvision:mobilenet_v2")
BUDGETS = ("0.5flops", "0.25flops", "0.125flops", "0.3flops,0.3params")
PROMISED = BUDGETS[:3]
"""One limit; with two the targets are a look only."""
DECODE_TARGET_MS = 50.0
CERTIFY_TARGET_S = 5.0
_MULTIPLE = 8
_DECODES = 10
"""Per table, each with other multipliers."""


@dataclass(frozen=True, slots=True)
class Solved:
    """One table, decoded and certified."""

    decode_ms: float
    """Median over random multipliers."""
    certify_s: float
    to_optimum: float
    """Loss of the decoder's widths over that of the certificate's, less 1."""
    to_bound: float
    """The same over the certificate's lower bound."""
    optimal: bool
    """Whether the certificate's gap is closed."""


def solved(graph: ModelGraph, budget: str, seed: int) -> Solved:
    """A random table of `graph`, decoded and certified."""
    generator = np.random.default_rng(seed)
    cost_model = AnalyticCostModel(graph)
    dense = cost_model(dense_policy(graph))
    knobs = channel_space(graph, WidthRule(_MULTIPLE)).knobs
    table = random_table(knobs, generator)
    limits = Budget.parse(budget)
    solver = Solver(knobs, table, cost_model, limits, dense)
    times_ms = []
    for _ in range(_DECODES):
        log_multipliers = generator.normal(0.0, 0.5, len(knobs))
        started = time.perf_counter()
        solver.solve(log_multipliers)
        times_ms.append(1e3 * (time.perf_counter() - started))
    widths = solver.solve(np.zeros(len(knobs)))
    loss = table.loss(dict(zip(table.knobs, widths.tolist(), strict=True)))
    found = certify(knobs, table, cost_model, limits, dense, widths, CERTIFY_TARGET_S)
    return Solved(
        decode_ms=float(np.median(times_ms)),
        certify_s=found.seconds,
        to_optimum=loss / found.loss - 1.0,
        to_bound=loss / found.lower_bound - 1.0,
        optimal=found.optimal,
    )


def rows(net: str, budget: str, each: Sequence[Solved]) -> tuple[Row, ...]:
    """Times as shares of what was promised."""
    decode = median95([one.decode_ms / DECODE_TARGET_MS for one in each])
    proof = median95([one.certify_s / CERTIFY_TARGET_S for one in each])
    decode_ms = decode.value * DECODE_TARGET_MS
    proof_s = proof.value * CERTIFY_TARGET_S
    return (
        _row(f"{net}, {budget}: decoder, ms", decode_ms, f"{DECODE_TARGET_MS:g} ms", decode, budget in PROMISED),
        _row(f"{net}, {budget}: certificate, s", proof_s, f"{CERTIFY_TARGET_S:g} s", proof, budget in PROMISED),
    )


def _row(what: str, measured: float, allowed: str, share: Estimate, promised: bool) -> Row:
    return Row(
        what=what,
        measured=measured,
        baseline=allowed,
        compared=share.value,
        kind="ratio",
        ci95=share.ci95,
        target="< 1x" if promised else "",
        held=share.value < 1.0 if promised else None,
    )


def line(net: str, budget: str, each: Sequence[Solved]) -> tuple[str, ...]:
    """The gaps of one network at one budget, for the table."""
    to_optimum, to_bound = [one.to_optimum for one in each], [one.to_bound for one in each]
    return (
        f"{net}, {budget}",
        f"{np.median(to_optimum):.4%}",
        f"{max(to_optimum):.4%}",
        f"{np.median(to_bound):.4%}",
        f"{max(to_bound):.4%}",
        f"{sum(one.optimal for one in each)} of {len(each)}",
    )


def main() -> int:
    """Runs the benchmark; returns 1 where a target is missed."""
    options = shared(parser(__doc__ or "", seeds=5).parse_args())
    found: list[Row] = []
    lines: list[tuple[str, ...]] = []
    for net in NETS:
        graph = trace_prunable(build(net).eval(), (3, 224, 224)).graph
        for budget in BUDGETS:
            each = [solved(graph, budget, seed) for seed in options.seeds]
            found += rows(net, budget, each)
            lines.append(line(net, budget, each))
    columns = ("", "to optimum", "largest", "to bound", "largest", "optimum proved")
    details = Details("Loss of the decoder's widths above the certificate's", columns, tuple(lines))
    return publish(Report("benchmarks.solver", tuple(found), (details,)), options)


if __name__ == "__main__":
    sys.exit(main())
