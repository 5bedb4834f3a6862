"""After the search: fine-tune, export, verify, measure once on the test set, report."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from automl.compress.quantized import QuantizedNetwork
from automl.core.bits import mean_bits
from automl.core.budget import Metric
from automl.core.errors import NoFeasiblePolicyError
from automl.core.policy import CompressionPolicy, dense_policy
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.held import Batches
from automl.evaluate.measure import Answers, answers, compare
from automl.export.channels_file import write_channels
from automl.export.executed import executed_bits
from automl.export.onnx_file import export_onnx
from automl.export.policy_file import PolicyFile, write_policy
from automl.export.quantized_onnx import export_quantized
from automl.export.recount import OnnxCost, recount
from automl.export.verify import check, check_quantized, parity
from automl.export.weights_file import WeightsInfo, write_weights
from automl.pipeline.clocking import Clock, clock
from automl.pipeline.conversation import Conversation
from automl.pipeline.distilling import distil
from automl.pipeline.held import held
from automl.pipeline.quantizing import quantized
from automl.pipeline.searching import Found
from automl.pipeline.subject import Subject
from automl.pipeline.tightening import tighten, tightened
from automl.report.html import Report, write_report
from automl.report.metrics import BudgetLine, LayerBits, Metrics, ModelRow, SearchSummary, write_metrics
from automl.report.plots import channels_svg, history_svg, tradeoff_svg, write_plots
from automl.search.registry import find_engine
from automl.store.manifest import read_manifest
from automl.store.run import Run
from automl.training.recipe import finetune_recipe

_ATTEMPTS = 3
"""Policies that are trained at most, where exported files are too slow."""
_LOG = logging.getLogger(__name__)


def finish(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    conversation: Conversation,
) -> Metrics:
    """Fine-tunes `best`, and makes the result in `run.best` and the report.

    Where the exported file is slower than was asked, a smaller policy is trained and exported in its place.

    Raises:
        InterruptedRunError: If the user stopped the fine-tuning; it goes on from its last epoch.
        ExportError: If the exported file does not compute what the network computes.
        NoFeasiblePolicyError: If the exported file breaks a budget; the files are there all the same.
    """
    found, best = _in_its_place(found, best, tightened(run, best))
    metrics = _made(run, subject, dense, found, best, conversation)
    for _ in range(_ATTEMPTS - 1):
        smaller = _smaller(run, subject, best, metrics, conversation)
        if smaller is None:
            break
        found, best = _in_its_place(found, best, smaller)
        metrics = _made(run, subject, dense, found, best, conversation)
    _report(run, subject, found, best, metrics)
    broken = [line for line in metrics.budgets if not line.met]
    if broken:
        line, text = broken[0], Metric(broken[0].metric).text
        why = "what predictions miss" if line.metric == Metric.LATENCY.value else "the file's structure"
        raise NoFeasiblePolicyError(
            f"Every budget must hold on the exported file, but {line.metric} is {text(line.measured or 0)} there and "
            f"{text(line.asked)} are allowed. Ask for a smaller {line.metric} budget, which leaves room for {why}."
        )
    return metrics


def finetuned(
    run: Run, subject: Subject, dense: DenseNetwork, policy: CompressionPolicy, conversation: Conversation
) -> nn.Module:
    """The network of `policy`, fine-tuned with the dense one as its teacher, unless the run asked for 0 epochs."""
    student = dense.finalist(policy)
    splits = subject.splits
    recipe = finetune_recipe(len(splits.train), epochs=subject.config.finetune_epochs, labelled=splits.labelled)
    distil(run, subject, dense, policy, student, recipe, "Fine-tune", conversation)
    return student.eval()


@dataclass(frozen=True, slots=True)
class Result:
    """The network of a policy."""

    network: nn.Module
    """In float."""
    quantized: QuantizedNetwork | None
    """At the policy's bit-widths, on its grids; None for a float policy."""

    @property
    def final(self) -> nn.Module:
        """What is exported."""
        return self.quantized or self.network


@dataclass(frozen=True, slots=True)
class Exported:
    """Files of one network, verified."""

    onnx_cost: OnnxCost
    agreement: str
    """How well ONNX Runtime and torch agree, in words."""
    layers: tuple[LayerBits, ...]
    """Bit-widths of a quantized file; empty for a float one."""


def export_network(
    folder: Path, subject: Subject, policy: CompressionPolicy, network: nn.Module, images: Batches
) -> Exported:
    """Writes the policy, the weights and `model.onnx` to `folder` and holds the ONNX file against torch.

    The policy is `policy.json`, and `channels.json` where an AMC channel list says it.

    Args:
        folder: Where to write.
        subject: Says what the network is made for.
        policy: What made it.
        network: A `QuantizedNetwork` on its grids where the policy has bit-widths.
        images: What both run on.

    Raises:
        ExportError: If the ONNX file computes something else.
    """
    shape = subject.splits.input_shape
    full = {group.name: group.channels for group in subject.traced.graph.prunable}
    write_policy(folder / "policy.json", PolicyFile(policy, subject.config.model, shape, subject.network.classes, full))
    write_channels(folder / "channels.json", subject.traced.graph, policy)
    write_weights(folder / "model.safetensors", network, WeightsInfo(subject.config.model, policy.digest()))
    path, threads = folder / "model.onnx", torch.get_num_threads()
    if not isinstance(network, QuantizedNetwork):
        export_onnx(network, shape, path)
        result = parity(network, path, (batch for batch, _ in images), threads=threads)
        check(result)
        return Exported(recount(path), f"agrees with torch to {result.max_abs_difference:.1e}", ())
    export_quantized(network, shape, path)
    result = parity(network, path, (batch for batch, _ in images), threads=threads)
    check_quantized(result)
    said = f"gives torch's class to {100 * result.same_top1:.2f}% of {result.images} images"
    layers = [
        LayerBits(name, policy.bits[name].weight, policy.bits[name].activation, each.stored, each.executed)
        for name, each in executed_bits(path).items()
        if name in policy.bits
    ]
    return Exported(recount(path), said, tuple(layers))


def _made(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    conversation: Conversation,
) -> Metrics:
    """Trains the network of `best`, exports it and measures it."""
    network = finetuned(run, subject, dense, best, conversation)
    rounded = quantized(run, subject, dense, best, network, conversation) if best.bits else None
    return _written(run, subject, dense, found, best, Result(network, rounded), conversation)


def _smaller(
    run: Run, subject: Subject, best: CompressionPolicy, metrics: Metrics, conversation: Conversation
) -> CompressionPolicy | None:
    """What to train in place of `best` where its file is too slow, and only that; None where nothing is to be done."""
    broken = [line for line in metrics.budgets if not line.met]
    slow = [line for line in broken if line.metric == Metric.LATENCY.value and line.measured is not None]
    if not slow or len(slow) < len(broken):
        return None
    asked, measured_ms = min(line.asked for line in slow), slow[0].measured or 0.0
    smaller = tighten(run, subject, best, measured_ms)
    if smaller is not None:
        text = Metric.LATENCY.text
        conversation.say(
            f"The exported file takes {text(measured_ms)}, and {text(asked)} are allowed: a smaller policy is trained."
        )
    return smaller


def _in_its_place(
    found: Found, policy: CompressionPolicy, smaller: CompressionPolicy
) -> tuple[Found, CompressionPolicy]:
    """The smaller policy; the solver's answer is still the solver's."""
    solved = smaller if policy.digest() == found.solved.digest() else found.solved
    return replace(found, solved=solved), smaller


def _written(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    result: Result,
    conversation: Conversation,
) -> Metrics:
    conversation.progress.phase("Export", 2)
    test = held(subject, subject.splits.test)
    exported = export_network(run.best, subject, best, result.final, test)
    conversation.progress.advance(f"ONNX Runtime {exported.agreement}")
    timed = clock(subject, best, run.onnx) if subject.clocked else None
    metrics = _measured(subject, dense, found, best, result, exported, timed, test)
    write_metrics(run.metrics, metrics)
    conversation.progress.advance("measured on the test set")
    return metrics


def _measured(
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    result: Result,
    exported: Exported,
    timed: Clock | None,
    test: Batches,
) -> Metrics:
    """Every row of the final table, on the test set."""
    reference = answers(dense.model, test, dense.device)
    whole = _row(subject, dense_policy(subject.traced.graph), reference, reference)
    whole = replace(whole, latency_ms=subject.dense_cost.latency_ms if timed is None else timed.dense_ms)
    in_float = _row(subject, CompressionPolicy(best.channels), answers(result.network, test, dense.device), reference)
    if timed is not None or best.bits:
        in_float = replace(in_float, latency_ms=None if timed is None else timed.float_ms)
    rounded = None
    if result.quantized is not None:
        given = answers(result.quantized, test, dense.device)
        rounded = _at_bits(subject, best, _row(subject, best, given, reference), in_float, exported.layers)
        rounded = rounded if timed is None else replace(rounded, latency_ms=timed.final_ms)
    untuned = _untuned_row(subject, dense, best, test, reference)
    if timed is not None and subject.config.finetune_epochs == 0:  # then it is what was exported
        untuned = replace(untuned, latency_ms=timed.float_ms)
    engine = find_engine(subject.config.engine, subject.config.agent).name
    return Metrics(
        baseline=whole,
        uniform=_untuned_row(subject, dense, found.uniform, test, reference),
        best=untuned,
        finetuned=in_float if subject.config.finetune_epochs != 0 else None,
        quantized=rounded,
        budgets=budget_lines(subject, best, exported.onnx_cost, timed),
        layers=exported.layers,
        search=SearchSummary(
            engine,
            len(found.evaluations),
            found.evaluated,
            found.seconds,
            found.table_correlation,
            winner(found, best, engine),
        ),
        accuracy_is="accuracy" if subject.splits.labelled else "agreement",
        splits=_split_sizes(subject),
        timing=None if timed is None else timed.timing,
    )


def winner(found: Found, best: CompressionPolicy, engine: str) -> str:
    """Whose policy `best` is: `uniform`, `solver` for its plain answer, or else the engine's name."""
    if best.digest() == found.uniform.digest():
        return "uniform"
    return "solver" if best.digest() == found.solved.digest() else engine


def budget_lines(
    subject: Subject, policy: CompressionPolicy, exported: OnnxCost | None, timed: Clock | None
) -> tuple[BudgetLine, ...]:
    """Each limit with what the cost model predicts and what the exported file has."""
    predicted = subject.cost_model(policy)
    lines = []
    for limit in subject.budget.limits:
        asked = limit.asked(subject.dense_cost)
        expected = limit.metric.of(predicted)
        measured = _on_the_file(limit.metric, exported, timed)
        # A time is what it is on the device, however it was predicted; what is counted twice has to agree.
        amounts = [measured] if limit.metric is Metric.LATENCY and measured is not None else [expected, measured]
        met = all(amount <= asked for amount in amounts if amount is not None)
        lines.append(BudgetLine(limit.metric.value, asked, expected, measured, met))
    return tuple(lines)


def _on_the_file(metric: Metric, exported: OnnxCost | None, timed: Clock | None) -> float | None:
    """What was counted or timed; None where nothing was."""
    if metric is Metric.LATENCY:
        return None if timed is None else timed.final_ms
    if exported is None:
        return None
    counts = {
        Metric.FLOPS: exported.macs,
        Metric.PARAMS: exported.params,
        Metric.SIZE: exported.file_bytes,
        Metric.BOPS: exported.bops,
    }
    return float(counts[metric])


def _untuned_row(
    subject: Subject, dense: DenseNetwork, policy: CompressionPolicy, test: Batches, reference: Answers
) -> ModelRow:
    network = dense.finalist(policy)
    in_float = _row(subject, CompressionPolicy(policy.channels), answers(network, test, dense.device), reference)
    if not policy.bits:
        return in_float
    given = answers(dense.quantized(network, policy), test, dense.device)
    return _at_bits(subject, policy, _row(subject, policy, given, reference), in_float, ())


def _at_bits(
    subject: Subject, policy: CompressionPolicy, row: ModelRow, in_float: ModelRow, layers: Sequence[LayerBits]
) -> ModelRow:
    """The row of a quantized network; one that was not exported is simulated, as torch computed it in float."""
    kept = {group.name: policy.channels.get(group.name, group.channels) for group in subject.traced.graph.groups}
    weights = {
        layer.name: layer.outputs.size(kept) * layer.filter_inputs.size(kept) * layer.kernel[0] * layer.kernel[1]
        for layer in subject.traced.graph.layers
    }
    return replace(
        row,
        simulated=not layers or any(each.simulated for each in layers),
        quantization_loss=in_float.accuracy - row.accuracy,
        mean_weight_bits=mean_bits(policy.bits, weights),
    )


def _row(subject: Subject, policy: CompressionPolicy, given: Answers, reference: Answers) -> ModelRow:
    measured = compare(given, reference)
    cost = subject.cost_model(policy)
    return ModelRow(
        measured.accuracy, measured.accuracy_ci95, cost.macs, cost.params, cost.size_bytes, cost.bops, cost.latency_ms
    )


def _split_sizes(subject: Subject) -> dict[str, int]:
    splits = subject.splits
    return {
        "train": len(splits.train),
        "calibration": len(splits.calibration),
        "search": len(splits.search),
        "selection": len(splits.selection),
        "test": len(splits.test),
    }


def _report(run: Run, subject: Subject, found: Found, best: CompressionPolicy, metrics: Metrics) -> None:
    uniform = next((each for each in found.evaluations if each.policy == found.uniform), found.evaluations[0])
    plots = {
        "history": history_svg(found.evaluations, uniform),
        "tradeoff": tradeoff_svg(found.evaluations, uniform, subject.dense_cost, metrics.accuracy_is),
        "channels": channels_svg(subject.traced.graph, best.channels),
    }
    write_plots(run.plots, plots)
    write_report(run.report_html, Report(run.name, subject.config, read_manifest(run.manifest), metrics, plots))
    _LOG.info("wrote %s", run.report_html)
