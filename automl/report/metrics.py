"""What a run came to, and its file `metrics.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from automl.core.budget import Metric
from automl.core.decode import decoded
from automl.core.errors import RunError
from automl.report.front import FrontPoint
from automl.report.timing import Timing
from automl.store.files import read_json, write_json

AccuracyIs = Literal["accuracy", "agreement"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One network of the final table."""

    accuracy: float
    """Share of right answers in [0, 1]; of answers that agree with the dense network where there are no labels."""
    accuracy_ci95: tuple[float, float]
    """Wilson interval of `accuracy`."""
    macs: int
    """Multiply-adds per image."""
    params: int
    """Learned values."""
    size_bytes: int
    """Bytes of parameters, buffers and file structure."""
    bops: int
    """Sum over layers of MACs x weight bits x activation bits."""
    latency_ms: float | None = None
    """Milliseconds per image; None where it was not measured."""
    simulated: bool | None = None
    """For quantized networks: whether no kernel of the target ran the bit-widths. None for float networks."""
    quantization_loss: float | None = None
    """For quantized networks: accuracy of the same network in float, less its own. None for float networks."""
    mean_weight_bits: float | None = None
    """For quantized networks: mean bits of a weight. None for float networks."""

    def of(self, metric: Metric) -> float | None:
        """What the network costs: MACs, parameters, bytes, BOPs, or milliseconds where they are known."""
        values = {
            Metric.FLOPS: self.macs,
            Metric.PARAMS: self.params,
            Metric.SIZE: self.size_bytes,
            Metric.BOPS: self.bops,
            Metric.LATENCY: self.latency_ms,
        }
        return values[metric]


@dataclass(frozen=True, slots=True)
class LayerBits:
    """The bit-widths of one layer: what the policy says, what the file holds, and what ran."""

    layer: str
    """Its path in the network."""
    weight: int
    """Bits of its weights, as the policy says."""
    activation: int
    """Bits of what it reads, as the policy says."""
    stored: int
    """Bits that the file takes for each weight."""
    executed: int
    """Bits of the kernel that ONNX Runtime runs for it; 32 is float."""

    @property
    def simulated(self) -> bool:
        """Whether the kernel computes with more bits than the policy says."""
        return self.executed > min(self.weight, self.activation)


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One limit and how it was kept; every number in MACs, parameters, bytes, BOPs or milliseconds."""

    metric: str
    """`flops`, `params`, `size`, `bops` or `latency`."""
    asked: float
    """The most that was allowed."""
    predicted: float
    """What the cost model says of the policy."""
    measured: float | None
    """What was counted on the exported file; None before the export."""
    met: bool
    """Whether the measured value, or else the predicted one, is within the limit."""


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """How the result was found."""

    engine: str
    """Name of the engine."""
    trials: int
    """Completed trials."""
    evaluations: int
    """Policies that were measured; the other trials found theirs in the cache."""
    seconds: float
    """Wall time of the search, all sessions together."""
    table_rank_correlation: float | None = None
    """Spearman's, of the sensitivity table's predictions with the measured divergences; None for too few trials."""
    winner: str | None = None
    """Whose policy was chosen: `uniform`, `solver` (its plain answer) or the engine's name; None in older files."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything that the final table and the report say in numbers."""

    baseline: ModelRow
    """The dense network."""
    uniform: ModelRow
    """The uniform policy, treated as the best one before fine-tuning."""
    best: ModelRow
    """The best policy before fine-tuning."""
    finetuned: ModelRow | None
    """The best policy after fine-tuning; None where it was skipped or has not run yet."""
    quantized: ModelRow | None
    """The fine-tuned one at the policy's bit-widths, as exported; None for a float policy."""
    budgets: tuple[BudgetLine, ...]
    layers: tuple[LayerBits, ...]
    """Of the exported file; empty for a float policy."""
    search: SearchSummary
    accuracy_is: AccuracyIs
    """`agreement` with the dense network where the data has no labels."""
    splits: Mapping[str, int]
    """Split -> images."""
    timing: Timing | None = None
    """How latencies were measured; None where they were not, and in older files."""
    front: tuple[FrontPoint, ...] = ()
    """With a range of budgets, the trials that no other one beats; empty without, and in older files."""

    def to_json(self) -> dict[str, Any]:
        """The layout of `metrics.json`."""
        rows = {name: None if row is None else _row_json(row) for name, row in self.rows().items()}
        return {
            **rows,
            "budgets": [asdict(line) for line in self.budgets],
            "layers": [{**asdict(each), "simulated": each.simulated} for each in self.layers],
            "search": asdict(self.search),
            "accuracy_is": self.accuracy_is,
            "splits": dict(self.splits),
            "timing": None if self.timing is None else self.timing.to_json(),
            "front": [asdict(point) | {"accuracy_ci95": list(point.accuracy_ci95)} for point in self.front],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Metrics":
        """Reads what `to_json` gave; raises `KeyError`, `TypeError` or `ValueError` on anything else."""
        entries = {"quantized": None, "layers": [], **value}  # which older files lack
        entries["layers"] = [_without_simulated(each) for each in entries["layers"]]
        found = decoded(cls, entries)
        for row in found.rows().values():
            if row is not None:
                _check_positive(row)
        for metric in [line.metric for line in found.budgets] + [point.metric for point in found.front]:
            Metric(metric)
        return found

    def rows(self) -> dict[str, ModelRow | None]:
        """The networks by their key in `metrics.json`."""
        return {
            "baseline": self.baseline,
            "uniform": self.uniform,
            "best": self.best,
            "finetuned": self.finetuned,
            "quantized": self.quantized,
        }

    @property
    def final(self) -> ModelRow:
        """The network that was exported."""
        return self.quantized or self.finetuned or self.best


def write_metrics(path: Path, metrics: Metrics) -> None:
    """Writes `metrics` as JSON; raises `RunError` where the disk refuses."""
    write_json(path, metrics.to_json())


def read_metrics(path: Path) -> Metrics:
    """Reads what `write_metrics` wrote; raises `RunError` where the run has none yet or the file is damaged."""
    try:
        return Metrics.from_json(read_json(path))
    except FileNotFoundError as error:
        raise RunError(f"The run has no result yet: {path} is missing. Finish it with `automl resume`.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"The metrics of a run must be readable, but {path} is not ({error}). Write it anew with `automl resume`."
        ) from error


def _row_json(row: ModelRow) -> dict[str, Any]:
    value = asdict(row) | {"accuracy_ci95": list(row.accuracy_ci95)}
    for name in ("simulated", "quantization_loss", "mean_weight_bits"):  # of quantized networks alone
        if value[name] is None:
            del value[name]
    return value


def _without_simulated(layer: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from the other values of a layer is left out."""
    return {name: each for name, each in dict(layer).items() if name != "simulated"}


def _check_positive(row: ModelRow) -> None:
    """What tables divide by must not be 0."""
    costs = (row.macs, row.params, row.size_bytes, row.bops, 1.0 if row.latency_ms is None else row.latency_ms)
    if not min(costs) > 0:
        raise ValueError(f"a network costs more than 0, but one costs {min(costs):g}")
