"""The numbers of the final table: every network on the test set, and every budget on the exported file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from automl.compress.quantized import QuantizedNetwork
from automl.core.bits import mean_bits
from automl.core.budget import Metric
from automl.core.policy import CompressionPolicy, dense_policy
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.held import Batches
from automl.evaluate.measure import Answers, answers, compare
from automl.export.recount import OnnxCost
from automl.pipeline.clocking import Clock
from automl.pipeline.exporting import Exported
from automl.pipeline.searching import Found
from automl.pipeline.subject import Subject
from automl.report.metrics import BudgetLine, LayerBits, Metrics, ModelRow, SearchSummary
from automl.search.registry import find_engine
from automl.store.answers import ImageAnswers


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
class Outcome:
    """What the test images say of a result."""

    metrics: Metrics
    answers: ImageAnswers


def final_outcome(
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    result: Result,
    exported: Exported,
    timed: Clock | None,
    test: Batches,
) -> Outcome:
    """Every row of the final table, on the test set, and every answer behind it."""
    reference = answers(dense.model, test, dense.device)
    given = {"baseline": reference, "finetuned": answers(result.network, test, dense.device)}
    whole = _row(subject, dense_policy(subject.traced.graph), reference, reference)
    whole = replace(whole, latency_ms=subject.dense_cost.latency_ms if timed is None else timed.dense_ms)
    in_float = _row(subject, CompressionPolicy(best.channels), given["finetuned"], reference)
    if timed is not None or best.bits:
        in_float = replace(in_float, latency_ms=None if timed is None else timed.float_ms)
    rounded = None
    if result.quantized is not None:
        given["quantized"] = answers(result.quantized, test, dense.device)
        rounded = _row(subject, best, given["quantized"], reference)
        rounded = _at_bits(subject, best, rounded, in_float, exported.layers)
        rounded = rounded if timed is None else replace(rounded, latency_ms=timed.final_ms)
    untuned, given["best"] = _untuned(subject, dense, best, test, reference)
    uniform, given["uniform"] = _untuned(subject, dense, found.uniform, test, reference)
    if timed is not None and subject.config.finetune_epochs == 0:  # then it is what was exported
        untuned = replace(untuned, latency_ms=timed.float_ms)
    if subject.config.finetune_epochs == 0:
        del given["finetuned"]
    engine = find_engine(subject.config.engine, subject.config.agent).name
    metrics = Metrics(
        baseline=whole,
        uniform=uniform,
        best=untuned,
        finetuned=in_float if subject.config.finetune_epochs != 0 else None,
        quantized=rounded,
        budgets=budget_lines(subject, best, exported.onnx_cost, timed),
        layers=exported.layers,
        search=SearchSummary(
            engine,
            len(found.evaluations) + found.looser,
            found.evaluated,
            found.seconds,
            found.table_correlation,
            winner(found, best, engine),
        ),
        accuracy_is="accuracy" if subject.splits.labelled else "agreement",
        splits=_split_sizes(subject),
        timing=None if timed is None else timed.timing,
        front=found.front,
    )
    return Outcome(metrics, image_answers(subject.splits.test_digest, given))


def image_answers(test: str, given: Mapping[str, Answers]) -> ImageAnswers:
    """The class that each network gave to each image.

    Args:
        test: Digest of the images.
        given: Network -> its answers; `baseline` among them.
    """
    classes = {name: each.logits.argmax(dim=1).numpy().astype(np.int32) for name, each in given.items()}
    return ImageAnswers(test, given["baseline"].labels.numpy().astype(np.int32), classes)


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


def _untuned(
    subject: Subject, dense: DenseNetwork, policy: CompressionPolicy, test: Batches, reference: Answers
) -> tuple[ModelRow, Answers]:
    network = dense.finalist(policy)
    given = answers(network, test, dense.device)
    in_float = _row(subject, CompressionPolicy(policy.channels), given, reference)
    if not policy.bits:
        return in_float, given
    given = answers(dense.quantized(network, policy), test, dense.device)
    return _at_bits(subject, policy, _row(subject, policy, given, reference), in_float, ()), given


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
