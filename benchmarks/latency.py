"""How well latency is predicted: networks that the fit has not seen, timed in a process of their own.

For every network and precision 33 networks are timed and fitted as `automl search --budget 0.5latency` does it, then 20
others in a fresh process. Seven networks are in both, and what the machine is slower by in the second is taken from
them. Beside it stand two usual ways: a straight line over the multiply-adds, fitted to the same 33 networks, and the
sum of the times of every layer alone.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from automl.compress.probe import trace_prunable
from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.model import AnalyticCostModel
from automl.models.registry import build
from automl.pipeline.probing import PROBES, graph_template, random_policies
from automl.pipeline.profiling import device_latency, target_of
from automl.runtime.device_profile import DeviceProfile
from automl.runtime.measuring import measured
from automl.runtime.pack import Pack, Protocol
from automl.runtime.target import Precision
from benchmarks.cache import CACHE, ResultCache
from benchmarks.operators import layers_alone
from benchmarks.options import parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, percent, publish
from search_spaces.rules import default_rule
from search_spaces.space import channel_space

CASES = (
    ("torchvision:mobilenet_v2", 224),
    ("torchvision:mobilenet_v2", 96),
    ("torchvision:mobilenet_v3_large", 224),
    ("torchvision:resnet18", 224),
)
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
UNSEEN = 20
_SHARED = 6
"""Networks beside the dense one that are timed in both processes."""
MOST_ERROR, LEAST_RANK = 0.03, 0.98
_SHORT = Protocol(batch_s=5.0, repeats=1, anchors=4)


@dataclass(frozen=True, slots=True)
class Quality:
    """How predictions compare with times."""

    error: float
    """Mean absolute error, as a share of the time."""
    worst: float
    """The largest one."""
    bias: float
    """Mean of predicted over measured, less 1."""
    rank: float
    """Spearman's correlation."""

    @classmethod
    def of(cls, predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> "Quality":
        """Of times in any unit."""
        errors = predicted / truth - 1.0
        rank = float(spearmanr(predicted, truth).statistic)
        return cls(float(np.abs(errors).mean()), float(np.abs(errors).max()), float(errors.mean()), rank)


@dataclass(frozen=True, slots=True)
class Case:
    """One network, size and precision."""

    fitted: Quality
    macs: Quality
    alone: Quality
    """Sums of the times of layers by themselves."""
    dense_ms: float
    seconds: float
    """To time and fit 33 networks, exports included."""


def main() -> int:
    """Runs the benchmark; returns 1 where a target is missed."""
    arguments = parser(__doc__ or "", seeds=1)
    arguments.add_argument("--fresh", action="store_true", help="time again what is on disk")
    parsed = arguments.parse_args()
    options = shared(parsed)
    cache = ResultCache(CACHE / "latency")
    rows: list[Row] = []
    lines: list[tuple[str, ...]] = []
    for spec, size in CASES[1:2] if options.quick else CASES:
        for precision in PRECISIONS:
            facts = {"spec": spec, "size": size, "precision": precision, "runtime": onnxruntime.__version__, "v": 4}
            found = cache.get(facts, partial(_measured, spec, size, precision), fresh=parsed.fresh)
            qualities = {name: Quality(**found[name]) for name in ("fitted", "macs", "alone")}
            title = f"{spec.split(':')[1]} at {size} px, {precision}"
            print(f"{title}: {percent(qualities['fitted'].error)}", file=sys.stderr)
            rows += _rows(title, qualities["fitted"], qualities["macs"])
            lines += [(title, *_cells(qualities), f"{found['dense_ms']:.3g}", f"{found['seconds']:.0f}")]
    columns = ("", "fitted", "line over MACs", "layers alone, summed", "dense ms", "seconds")
    table = Details("Mean error / worst error / rank correlation, 20 networks not seen", columns, tuple(lines))
    return publish(Report("benchmarks.latency", tuple(rows), (table,)), options)


class Laboratory:
    """One network at one size and precision, to be timed."""

    def __init__(self, spec: str, size: int, precision: Precision) -> None:
        """Exports it; its weights mean nothing."""
        torch.manual_seed(0)
        model = build(spec).eval()
        traced = trace_prunable(model, (3, size, size))
        self.graph = traced.graph
        self.knobs = channel_space(self.graph, default_rule(self.graph, timed=True)).knobs
        self.dense = dict(dense_policy(self.graph).channels)
        self.template = graph_template(model, traced, precision)
        self._target = target_of(spec, self.graph, precision, threads=1)
        self._cost_model = AnalyticCostModel(self.graph)

    def policies(self, count: int, seed: int) -> list[dict[str, int]]:
        """The dense network and so many random policies."""
        return [self.dense, *random_policies(self.graph, self.knobs, count, seed)]

    def profile(self, policies: Sequence[dict[str, int]]) -> DeviceProfile:
        """Times of the policies' networks in a fresh process."""
        weights = tuple(4 * self._cost_model(CompressionPolicy(policy)).params for policy in policies)
        pack = Pack(self._target, tuple(policies), 0, weights)
        return measured(pack, [self.template.at(policy) for policy in policies])

    def parts_ms(self, networks: Sequence[onnx.ModelProto]) -> NDArray[np.float64]:
        """Times of small networks that are no policies, in a fresh process."""
        pack = Pack(self._target, (self.dense,) * len(networks), 0, (0,) * len(networks), _SHORT)
        return measured(pack, networks).latency_ms()

    def macs(self, policies: Sequence[dict[str, int]]) -> NDArray[np.float64]:
        """Shape `(policies, 2)`: 1, and multiply-adds."""
        macs = [self._cost_model(CompressionPolicy(policy)).macs for policy in policies]
        return np.stack([np.ones(len(macs)), np.array(macs)], axis=1)


def _measured(spec: str, size: int, precision: Precision) -> dict[str, Any]:
    """A case, as JSON values."""
    start = time.perf_counter()
    laboratory = Laboratory(spec, size, precision)
    known = laboratory.policies(PROBES, seed=0)
    shared, unseen = known[:: PROBES // _SHARED], laboratory.policies(UNSEEN, seed=1)[1:]
    profile = laboratory.profile(known)
    latency = device_latency(profile, laboratory.graph)
    seconds = time.perf_counter() - start
    known_ms, later_ms = profile.latency_ms(), laboratory.profile([*shared, *unseen]).latency_ms()
    slower = float(np.median(later_ms[: len(shared)] / known_ms[:: PROBES // _SHARED]))
    truth = later_ms[len(shared) :] / slower
    widths = np.array([[policy[group.name] for group in laboratory.graph.prunable] for policy in unseen])
    rows = laboratory.macs(known) / known_ms[:, None]
    line, *_ = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)
    networks = [laboratory.template.at(policy) for policy in (laboratory.dense, *unseen)]
    case = Case(
        fitted=Quality.of(latency.fit.form(widths), truth),
        macs=Quality.of(laboratory.macs(unseen) @ line, truth),
        alone=Quality.of(known_ms[0] * layers_alone(networks, laboratory.parts_ms), truth),
        dense_ms=float(known_ms[0]),
        seconds=seconds,
    )
    return asdict(case)


def _rows(title: str, fitted: Quality, macs: Quality) -> Iterator[Row]:
    against = f"line over MACs {percent(macs.error)}"
    error = fitted.error
    yield Row(
        f"{title}: mean error", error, against, error / macs.error, "ratio", None, "at most 3%", error <= MOST_ERROR
    )
    against = f"line over MACs {macs.rank:.3f}"
    yield Row(
        f"{title}: rank correlation",
        fitted.rank,
        against,
        fitted.rank - macs.rank,
        "difference",
        None,
        "at least 0.98",
        fitted.rank >= LEAST_RANK,
    )


def _cells(qualities: dict[str, Quality]) -> Iterator[str]:
    for name in ("fitted", "macs", "alone"):
        each = qualities[name]
        yield f"{percent(each.error)} / {percent(each.worst)} / {each.rank:.3f}"


if __name__ == "__main__":
    run_and_exit(main)
