"""How fast the solver decodes a table, how long the certified optimum takes, and how far apart the two are.

Tables are random, in the shape of measured ones; networks are whole, with every group in multiples of 8 and every
branch that may be dropped. With bits, every layer has some; the first and the last have 8.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.compress.places import with_quantizable
from automl.compress.probe import trace_prunable
from automl.core.bits import BitChoices, first_and_last
from automl.core.budget import Budget
from automl.core.graph import ModelGraph
from automl.core.policy import dense_policy
from automl.costs.model import AnalyticCostModel
from automl.models.registry import build
from automl.search.certificate import certify
from automl.search.solver import Solver
from benchmarks.interval import Estimate, median95
from benchmarks.options import parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, publish
from benchmarks.tables import random_table
from search_spaces.rules import WidthRule
from search_spaces.space import SearchSpace, channel_space, joint_space

NETS = ("torchvision:resnet50", "torchvision:mobilenet_v2")
BUDGETS = ("0.5flops", "0.25flops", "0.125flops", "0.3flops,0.3params")
PROMISED = BUDGETS[:3]
"""One limit; with two the targets are a look only."""
NETS_WITH_BITS = ("torchvision:resnet18", "torchvision:mobilenet_v2")
BITS = ("4,8", "w2-8a4-8")
BUDGETS_WITH_BITS = ("0.02bops", "0.1size", "0.5flops,0.02bops", "0.12size,0.02bops")
PROMISED_WITH_BITS = BUDGETS_WITH_BITS[:2]
DECODE_TARGET_MS = 50.0
DECODE_TARGET_WITH_BITS_MS = 60.0
CERTIFY_TARGET_S = 5.0
_MULTIPLE = 8
_DECODES = 10
"""Per table, each with other multipliers."""


@dataclass(frozen=True, slots=True)
class Case:
    """One network and budget."""

    net: str
    budget: str
    bits: str | None
    """As `--bits` reads them; None where widths alone are searched."""

    def __str__(self) -> str:
        """What the report calls it."""
        return ", ".join(filter(None, (self.net, self.bits and f"bits {self.bits}", self.budget)))

    @property
    def promised(self) -> bool:
        """Whether targets hold for it; otherwise they are a look."""
        return self.budget in (PROMISED if self.bits is None else PROMISED_WITH_BITS)

    @property
    def decode_target_ms(self) -> float:
        """The most that a decode may take."""
        return DECODE_TARGET_MS if self.bits is None else DECODE_TARGET_WITH_BITS_MS

    def space(self, graph: ModelGraph) -> SearchSpace:
        """What is searched of the case's network."""
        if self.bits is None:
            return channel_space(graph, WidthRule(_MULTIPLE))
        return joint_space(graph, WidthRule(_MULTIPLE), BitChoices.parse(self.bits), first_and_last(8))


CASES = (
    *(Case(net, budget, None) for net in NETS for budget in BUDGETS),
    *(Case(net, budget, bits) for net in NETS_WITH_BITS for bits in BITS for budget in BUDGETS_WITH_BITS),
)


@dataclass(frozen=True, slots=True)
class Solved:
    """One table, decoded and certified."""

    decode_ms: float
    """Median over random multipliers."""
    certify_s: float
    to_optimum: float
    """Loss of the decoder's choice over that of the certificate's, less 1."""
    to_bound: float
    """The same over the certificate's lower bound."""
    optimal: bool
    """Whether the certificate's gap is closed."""


def traced_graph(net: str) -> ModelGraph:
    """The network's groups, and where it can have bit-widths."""
    model = build(net).eval()
    return with_quantizable(model, trace_prunable(model, (3, 224, 224))).graph


def solved(case: Case, traced: ModelGraph, seed: int) -> Solved:
    """A random table, decoded and certified."""
    generator = np.random.default_rng(seed)
    space = case.space(traced)
    cost_model = AnalyticCostModel(space.graph)
    dense = cost_model(dense_policy(space.graph))
    knobs = space.knobs
    table = random_table(knobs, generator)
    limits = Budget.parse(case.budget)
    solver = Solver(knobs, table, cost_model, limits, dense)
    times_ms = []
    for _ in range(_DECODES):
        log_multipliers = generator.normal(0.0, 0.5, len(knobs))
        started = time.perf_counter()
        solver.solve(log_multipliers)
        times_ms.append(1e3 * (time.perf_counter() - started))
    values = solver.solve(np.zeros(len(knobs)))
    loss = table.loss(dict(zip(table.knobs, values.tolist(), strict=True)))
    found = certify(knobs, table, cost_model, limits, dense, values, CERTIFY_TARGET_S)
    return Solved(
        decode_ms=float(np.median(times_ms)),
        certify_s=found.seconds,
        to_optimum=loss / found.loss - 1.0,
        to_bound=loss / found.lower_bound - 1.0,
        optimal=found.optimal,
    )


def rows(case: Case, each: Sequence[Solved]) -> tuple[Row, ...]:
    """Times as shares of what was promised."""
    target_ms = case.decode_target_ms
    decode = median95([one.decode_ms / target_ms for one in each])
    proof = median95([one.certify_s / CERTIFY_TARGET_S for one in each])
    decode_ms = decode.value * target_ms
    proof_s = proof.value * CERTIFY_TARGET_S
    return (
        _row(f"{case}: decoder, ms", decode_ms, f"{target_ms:g} ms", decode, case.promised),
        _row(f"{case}: certificate, s", proof_s, f"{CERTIFY_TARGET_S:g} s", proof, case.promised),
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


def line(case: Case, each: Sequence[Solved]) -> tuple[str, ...]:
    """The gaps of one case, for the table."""
    to_optimum, to_bound = [one.to_optimum for one in each], [one.to_bound for one in each]
    return (
        str(case),
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
    nets = dict.fromkeys(case.net for case in CASES)
    graphs = {net: traced_graph(net) for net in nets}
    for case in CASES:
        each = [solved(case, graphs[case.net], seed) for seed in options.seeds]
        found += rows(case, each)
        lines.append(line(case, each))
    columns = ("", "to optimum", "largest", "to bound", "largest", "optimum proved")
    details = Details("Loss of the decoder's choice above the certificate's", columns, tuple(lines))
    return publish(Report("benchmarks.solver", tuple(found), (details,)), options)


if __name__ == "__main__":
    run_and_exit(main)
