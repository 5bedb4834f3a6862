"""What one policy evaluation costs: AMC's way, the way of a loop around Torch-Pruning, and ours, on the same policies.

AMC: least squares from stored samples for every layer that loses inputs, then the masked network of full size.
Torch-Pruning: a copy of the network, its pruner, recalibrated batch norms, then all images. Ours: what the search
does, weights from the table stitched into the sliced network, then the images.

At 224 pixels weights and images are random and only the time counts; every policy answers all images there. The digits
network is trained, and has the images of a real search: there our evaluator races each policy against the uniform one
and spares images of the clear losers, as it does in a search. `benchmarks.recovery` and `benchmarks.peers` measure what
the recovered networks are worth.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.cli.session import conversation
from automl.compress.batch_norm import recalibrate
from automl.compress.folding import foldable
from automl.compress.importance import most_important, scores
from automl.compress.places import dense_places
from automl.compress.probe import trace_prunable
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.statistics import InputStatistics, NetworkStatistics, input_statistics
from automl.compress.surgery import KeptChannels, kept_entries, slim
from automl.core.budget import Budget
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.projection import Projection
from automl.costs.model import AnalyticCostModel
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.evaluator import ModelEvaluator
from automl.evaluate.held import Batches
from automl.models.registry import build
from automl.pipeline.held import held
from automl.tracing.channel_map import TracedModel
from benchmarks.amc import AmcEvaluator
from benchmarks.interval import median95
from benchmarks.nets import find_nets, open_net
from benchmarks.options import Options, parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, publish
from search_spaces.rules import default_rule
from search_spaces.space import channel_space

RECOVERY_TARGET, AMC_TARGET, PRUNER_TARGET = 50.0, 10.0, 5.0
"""How many times cheaper ours is promised to be: recovery and whole evaluation than AMC's, evaluation than the loop."""
EXACT_TARGET = 1e-6
"""Largest relative difference from `lstsq`."""
_BUDGET = "0.35flops"
_BATCHES, _BATCH_SIZE = 10, 30
"""Of the calibration: AMC has 60 batches of 50."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A network with random weights, and how much of everything it gets."""

    model: str
    size: int
    """Pixels."""
    images: int
    """Images that each evaluation answers."""
    points: int
    """Places per batch and image that AMC samples; with 30 images in each of 10 batches, 300 rows a place."""


SHAPES = (
    Shape("timm:mobilenetv1_100", 224, 64, 100),
    Shape("torchvision:mobilenet_v2", 224, 64, 100),
    Shape("torchvision:resnet50", 224, 32, 10),
)
"""100 places make AMC's 30,000 rows. ResNet-50 gets a tenth: all would take 9 GB and minutes a policy."""
DIGITS = "digits"
"""The trained one, of `benchmarks.nets`."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One network, ready to be evaluated in all three ways."""

    name: str
    dense: DenseNetwork
    amc: AmcEvaluator
    test: Batches
    """What each evaluation answers."""
    calibration: Sequence[Tensor]
    """What batch norms are recalibrated on: of the trained network the whole split, as in `benchmarks.peers`."""
    raced: bool


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one policy."""

    amc_recovery: float
    amc_evaluation: float
    """Recovery included."""
    pruner_evaluation: float | None
    """None where Torch-Pruning is not installed or fails on the network."""
    recovery: float
    evaluation: float
    """Slicing and recovery included."""


def main() -> int:
    """Runs the benchmark; returns 1 where a target is missed."""
    options = shared(parser(__doc__ or "", seeds=5).parse_args())
    rows: list[Row] = []
    lines: list[tuple[str, ...]] = []
    for name in (DIGITS, *(shape.model for shape in SHAPES[: 1 if options.quick else len(SHAPES)])):
        found, line = _measured(name, options)
        rows += found
        lines.append(line)
    columns = ("", "AMC LS s", "AMC s", "Torch-Pruning s", "our recovery s", "ours s", "AMC samples MB", "ours MB")
    details = Details("Seconds per policy, medians, and memory", columns, tuple(lines))
    notes = (
        "ResNet-50: AMC has a tenth of its rows here, which favours it.",
        "Neither counts what all policies share: AMC's samples; our profile, one pass and one factorisation a layer.",
        "MB: what stays in memory between policies, AMC's samples; our factors and the recovered weights.",
    )
    return publish(Report("benchmarks.evaluation", tuple(rows), (details,), notes), options)


def _measured(name: str, options: Options) -> tuple[list[Row], tuple[str, ...]]:
    bench = _trained() if name == DIGITS else _random(next(shape for shape in SHAPES if shape.model == name))
    dense = bench.dense
    policies = _policies(dense.traced, len(options.seeds))
    # The table of a real search is warm: widths come back. It is filled by the policies themselves here.
    for policy in policies:
        dense.slimmed(policy)
    evaluator = _evaluator(bench)
    times = []
    for policy in policies:
        evaluator = evaluator if bench.raced else _evaluator(bench)
        times.append(_times(bench, evaluator, policy))
    exact = _difference(dense, bench.amc, most_important(dense.traced, policies[0], dense.scores))
    memory_mb = bench.amc.sample_bytes / 1e6, dense.recovery.held_bytes / 1e6
    return _rows(name, times, exact), _line(name, times, *memory_mb)


def _random(shape: Shape) -> Bench:
    torch.manual_seed(0)
    model = build(shape.model).eval()
    traced = trace_prunable(model, (3, shape.size, shape.size))
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(_BATCH_SIZE, 3, shape.size, shape.size, generator=generator) for _ in range(_BATCHES)]
    recalibrate(model, batches[:2])
    images = torch.randn(shape.images, 3, shape.size, shape.size, generator=generator)
    test = [
        (batch.contiguous(memory_format=torch.channels_last), torch.zeros(len(batch), dtype=torch.int64))
        for batch in torch.split(images, 32)
    ]
    dense = _dense(model, traced, batches, torch.device("cpu"))
    return Bench(shape.model, dense, AmcEvaluator(model, traced, batches, points=shape.points), test, batches, False)


def _trained() -> Bench:
    with conversation() as talk:
        subject = open_net(find_nets(DIGITS)[0], 0, talk)
    model, traced = subject.model.eval(), subject.traced
    images = torch.cat([batch for batch, _ in held(subject, subject.splits.calibration)])
    batches = torch.split(images, _BATCH_SIZE)
    dense = _dense(model, traced, batches, subject.device)
    test = list(held(subject, subject.splits.search))
    amc = AmcEvaluator(model, traced, batches[:_BATCHES], points=100)
    return Bench(DIGITS, dense, amc, test, batches, True)


def _dense(model: nn.Module, traced: TracedModel, batches: Sequence[Tensor], device: torch.device) -> DenseNetwork:
    order = scores(model, traced, "l2")
    recovery = Recovery(model, traced, order, input_statistics(model, traced, batches))
    sequential = SequentialRecovery(model, traced, batches[0][:2])  # not measured here
    norms = foldable(model, traced, batches[0][:2])
    places = dense_places(model, traced, norms, batches[0][:2])
    return DenseNetwork(model, traced, order, recovery, sequential, norms, places, batches[0], device)


def _evaluator(bench: Bench) -> ModelEvaluator:
    traced = bench.dense.traced
    evaluator = ModelEvaluator(bench.dense, AnalyticCostModel(traced.graph), bench.test)
    if bench.raced:
        full = dense_policy(traced.graph).channels
        evaluator.defend(_projected(traced, np.array([0.5 * full[knob.target] for knob in _knobs(traced)])))
    return evaluator


def _policies(traced: TracedModel, count: int) -> list[CompressionPolicy]:
    """Random ones within the budget."""
    full = np.array([knob.choices[-1] for knob in _knobs(traced)], dtype=np.float64)
    drawn = [np.random.default_rng(seed).uniform(0.3, 1.0, len(full)) * full for seed in range(count)]
    return [_projected(traced, each) for each in drawn]


def _projected(traced: TracedModel, widths: NDArray[np.float64]) -> CompressionPolicy:
    cost_model, knobs = AnalyticCostModel(traced.graph), _knobs(traced)
    dense = cost_model(dense_policy(traced.graph))
    projection = Projection(knobs, cost_model, Budget.parse(_BUDGET), dense)
    names = [knob.target for knob in knobs]
    return CompressionPolicy(dict(zip(names, projection(widths).tolist(), strict=True)))


def _knobs(traced: TracedModel) -> Sequence[Knob]:
    return channel_space(traced.graph, default_rule(traced.graph)).knobs


def _times(bench: Bench, evaluator: ModelEvaluator, policy: CompressionPolicy) -> Times:
    dense = bench.dense
    kept = most_important(dense.traced, policy, dense.scores)
    images = [batch for batch, _ in bench.test]
    masked = bench.amc.recover(kept)
    started = time.perf_counter()
    bench.amc.evaluate(masked.weights, images)
    amc_forward = time.perf_counter() - started
    smaller = slim(dense.model, dense.traced.channel_map, kept)
    started = time.perf_counter()
    dense.recovery.apply(smaller, kept)
    recovered = time.perf_counter() - started
    return Times(
        amc_recovery=masked.seconds,
        amc_evaluation=masked.seconds + amc_forward,
        pruner_evaluation=_pruner_seconds(dense.model, dense.traced, kept, images, bench.calibration),
        recovery=recovered,
        evaluation=evaluator(policy).seconds,
    )


def _pruner_seconds(
    model: nn.Module, traced: TracedModel, kept: KeptChannels, test: Sequence[Tensor], calibration: Sequence[Tensor]
) -> float | None:
    """One turn of a loop around Torch-Pruning, with as many channels gone as the policy takes on average."""
    try:
        from benchmarks.torch_pruning_peer import one_shot
    except ImportError:
        return None
    channels = traced.channel_map.channels
    ratio = 1 - float(np.mean([len(kept[group]) / channels[group] for group in channels]))
    started = time.perf_counter()
    network = one_shot(model, tuple(test[0].shape[1:]), ratio)
    recalibrate(network, calibration)
    _answer(network.eval(), test)
    return time.perf_counter() - started


def _answer(network: nn.Module, batches: Sequence[Tensor]) -> None:
    with torch.inference_mode():
        for batch in batches:
            network(batch)


def _difference(dense: DenseNetwork, amc: AmcEvaluator, kept: KeptChannels) -> float:
    """Largest relative difference of the weights from numpy's `lstsq` with an intercept, on AMC's own rows."""
    model, traced, order = dense.model, dense.traced, dense.scores
    modules = dict(model.named_modules())
    layers: dict[str, InputStatistics] = {}
    wanted: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    entries = kept_entries(traced.channel_map, kept)
    for name, inputs in amc.inputs().items():
        rows = inputs.astype(np.float64)
        channels = entries.get((f"{name}.weight", 1))
        weight = modules[name].get_parameter("weight").detach().double().flatten(1).numpy()
        if channels is None or rows.shape[1] > 600 or len(rows) < 4 * rows.shape[1]:
            continue  # a few seconds in all are enough
        taps = rows.shape[1] // modules[name].get_parameter("weight").shape[1]
        columns = (channels[:, None] * taps + np.arange(taps)).reshape(-1)
        mean = rows.mean(axis=0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        layers[name] = InputStatistics(torch.from_numpy(mean), torch.from_numpy(covariance), taps, len(rows))
        design = np.concatenate([rows[:, columns], np.ones((len(rows), 1))], axis=1)
        wanted[name] = np.linalg.lstsq(design, rows @ weight.T, rcond=None)[0][:-1].T
    smaller = slim(model.double(), traced.channel_map, kept)
    Recovery(model, traced, order, NetworkStatistics(layers, {}, ()), ridge=0.0).apply(smaller, kept)
    model.float()
    found: Mapping[str, float] = {name: _relative(smaller, name, weight, entries) for name, weight in wanted.items()}
    return max(found.values(), default=0.0)


def _relative(
    smaller: nn.Module,
    name: str,
    wanted: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    entries: Mapping[tuple[str, int], "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"],
) -> float:
    outputs = entries.get((f"{name}.weight", 0))
    rows = wanted if outputs is None else wanted[outputs]
    ours = smaller.get_parameter(f"{name}.weight").detach().double().flatten(1).numpy()
    return float(np.abs(ours - rows).max() / np.abs(rows).max())


def _rows(model: str, times: Sequence[Times], exact: float) -> list[Row]:
    pruner = [(each.pruner_evaluation, each.evaluation) for each in times if each.pruner_evaluation is not None]
    pairs = {
        "recovery": ([(each.amc_recovery, each.recovery) for each in times], "AMC's least squares", RECOVERY_TARGET),
        "evaluation": ([(each.amc_evaluation, each.evaluation) for each in times], "AMC's way", AMC_TARGET),
        "evaluation ": (pruner, "copy + Torch-Pruning + BN", PRUNER_TARGET),
    }
    rows = []
    for what, (measured, baseline, target) in pairs.items():
        if measured:
            ratio = median95([theirs / ours for theirs, ours in measured])
            ours = float(np.median([mine for _, mine in measured]))
            rows.append(
                Row(
                    f"{model}: {what.strip()}, s",
                    ours,
                    baseline,
                    ratio.value,
                    "ratio",
                    ratio.ci95,
                    f">= {target:g}x cheaper",
                    ratio.value >= target,
                )
            )
    rows.append(
        Row(
            f"{model}: weights against lstsq", exact, "numpy", exact, "difference", None, "< 1e-6", exact < EXACT_TARGET
        )
    )
    return rows


def _line(model: str, times: Sequence[Times], samples_mb: float, ours_mb: float) -> tuple[str, ...]:
    def median(values: Sequence[float | None]) -> str:
        known = [value for value in values if value is not None]
        return f"{np.median(known):.4f}" if known else "-"

    return (
        model,
        median([each.amc_recovery for each in times]),
        median([each.amc_evaluation for each in times]),
        median([each.pruner_evaluation for each in times]),
        median([each.recovery for each in times]),
        median([each.evaluation for each in times]),
        f"{samples_mb:.0f}",
        f"{ours_mb:.0f}",
    )


if __name__ == "__main__":
    run_and_exit(main)
