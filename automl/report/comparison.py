"""Runs side by side: their results, and how they differ on the same test images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.evaluate.interval import PairedDifference, paired95
from automl.report.metrics import Metrics
from automl.report.quantity import percent, share
from automl.report.rows import TextTable, budgets_met, difference_cells, milliseconds
from automl.report.verdict import interval, points
from automl.store.answers import ImageAnswers
from automl.store.config import RunConfig
from automl.store.manifest import Manifest


@dataclass(frozen=True, slots=True)
class RunResult:
    """One finished run."""

    label: str
    """What it is called beside the others."""
    path: Path
    """Its folder."""
    config: RunConfig
    manifest: Manifest
    metrics: Metrics
    answers: ImageAnswers | None
    """To the test images; None where the run did not keep them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One run against another, on the same test images."""

    run: str
    against: str
    difference: PairedDifference | None
    """Accuracy of the exported network of `run` less that of `against`; None where they cannot be paired."""
    reason: str = ""
    """Why not."""

    def __str__(self) -> str:
        """In one sentence."""
        found = self.difference
        if found is None:
            return f"{self.run} and {self.against} cannot be paired: {self.reason}"
        if found.same:
            return f"{self.run} and {self.against} are equal: the same answer to each of {found.images:,} test images."
        if not found.told:
            said = f"{points(found)} on the same {found.images:,} test images, which may be chance"
            return f"No difference between {self.run} and {self.against} can be told: {said}."
        word = "better" if found.difference > 0 else "worse"
        return f"{self.run} is {word} than {self.against}: {points(found)} on the same {found.images:,} test images."


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs or more."""

    results: tuple[RunResult, ...]
    pairs: tuple[Pair, ...]
    """Each run against the first one."""

    def to_json(self) -> dict[str, Any]:
        """The layout of `automl compare --json`."""
        return {"runs": [_result_json(each) for each in self.results], "pairs": [_pair_json(x) for x in self.pairs]}


def compared(results: Sequence[RunResult]) -> Comparison:
    """Holds every run against the first one.

    Args:
        results: Two or more.
    """
    first, *others = results
    return Comparison(tuple(results), tuple(_paired(each, first) for each in others))


def results_table(results: Sequence[RunResult]) -> TextTable:
    """One row per run: what it was asked, what it keeps, what it costs."""
    timed = any(each.metrics.final.latency_ms is not None for each in results)
    rows = [_result_cells(place, each, timed=timed) for place, each in enumerate(results, start=1)]
    header = ("", "Run", "Budget", "Engine", "Accuracy", "95% CI", "Baseline", "MACs", "Parameters", "Size")
    return TextTable((*header, *(["Latency"] if timed else []), "Budgets met"), tuple(rows))


def pairs_table(pairs: Sequence[Pair]) -> TextTable:
    """One row per pair: the difference in points, its interval, and who alone is right; or why there is none."""
    nothing = ("-",) * 4
    rows = [
        (each.run, each.against, *(difference_cells(each.difference) if each.difference else (*nothing, each.reason)))
        for each in pairs
    ]
    header = ("Run", "Against", "Points", "95% interval", "Run alone right", "Other alone right", "")
    return TextTable(header, tuple(rows))


def _paired(ours: RunResult, theirs: RunResult) -> Pair:
    reason = _unlike(ours, theirs)
    if reason or ours.answers is None or theirs.answers is None:
        return Pair(ours.label, theirs.label, None, reason)
    mine, other = ours.answers, theirs.answers
    same = bool((mine.networks[mine.final] == other.networks[other.final]).all())
    found = paired95(mine.right(mine.final), other.right(other.final), same=same)
    return Pair(ours.label, theirs.label, found)


def _unlike(ours: RunResult, theirs: RunResult) -> str:
    """Why two runs cannot be paired image by image; empty where they can."""
    for each in (ours, theirs):
        if each.answers is None:
            return (
                f"{each.label} does not have its answers to the test images, because an older version made it. "
                f"`automl resume {each.path}` writes them."
            )
        if not each.answers.are_of(each.metrics.final.accuracy):
            return (
                f"the answers of {each.label} are of another result than its metrics.json. "
                f"`automl resume {each.path}` writes both."
            )
    assert ours.answers is not None
    assert theirs.answers is not None
    if ours.answers.test != theirs.answers.test or ours.answers.labels.shape != theirs.answers.labels.shape:
        return _other_images(ours, theirs)
    if ours.metrics.accuracy_is != theirs.metrics.accuracy_is:
        return "one has labels and the other one has none."
    same_dense = np.array_equal(ours.answers.networks["baseline"], theirs.answers.networks["baseline"])
    if ours.metrics.accuracy_is == "agreement" and not same_dense:
        return "agreement is with the dense network, and theirs answer differently. Search from the same weights."
    return ""


def _other_images(ours: RunResult, theirs: RunResult) -> str:
    if ours.config.data != theirs.config.data:
        return f"they have other data, {ours.config.data} and {theirs.config.data}."
    limits = [each.config.limit for each in (ours, theirs)]
    if limits[0] != limits[1]:
        said = " and ".join("all images" if limit is None else f"{limit} images" for limit in limits)
        return f"their test images differ ({said}). Search with the same `--limit`."
    return "their test images differ: the data has changed between them. Search both on the same images."


def _result_cells(place: int, result: RunResult, *, timed: bool) -> tuple[str, ...]:
    metrics = result.metrics
    final, dense = metrics.final, metrics.baseline
    latency = [milliseconds(final.latency_ms)] if timed else []
    return (
        str(place),
        result.label,
        ",".join(result.config.asked),
        metrics.search.engine,
        percent(final.accuracy),
        interval(final.accuracy_ci95),
        percent(dense.accuracy),
        share(final.macs, dense.macs),
        share(final.params, dense.params),
        share(final.size_bytes, dense.size_bytes, "B"),
        *latency,
        budgets_met(metrics.budgets),
    )


def _result_json(result: RunResult) -> dict[str, Any]:
    values = result.metrics.to_json()
    return {
        "run": result.label,
        "path": str(result.path),
        "model": result.config.model,
        "data": result.config.data,
        "seed": result.config.seed,
        "budget": list(result.config.asked),
        "engine": result.metrics.search.engine,
        "accuracy_is": result.metrics.accuracy_is,
        "baseline": values["baseline"],
        "uniform": values["uniform"],
        "result": values["quantized"] or values["finetuned"] or values["best"],
        "budgets": values["budgets"],
    }


def _pair_json(pair: Pair) -> dict[str, Any]:
    found = None
    if pair.difference is not None:
        found = {**asdict(pair.difference), "ci95": list(pair.difference.ci95), "told": pair.difference.told}
    return {"run": pair.run, "against": pair.against, "paired": found, "reason": pair.reason or None}
