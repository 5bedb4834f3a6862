"""Finished runs, read from their folders to be compared."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from automl.core.errors import InputError
from automl.report.comparison import Comparison, RunResult, compared
from automl.report.metrics import read_metrics
from automl.store.answers import read_answers
from automl.store.config import load_config
from automl.store.manifest import read_manifest
from automl.store.run import Run, open_run


def compare_runs(runs: Path, names: Sequence[str]) -> Comparison:
    """Reads finished runs and holds each against the first one.

    Args:
        runs: Folder of all runs.
        names: Names or paths, two or more.

    Raises:
        InputError: If there are fewer, or a run does not exist, is not finished, cannot be read or is of an older
            version.
    """
    if len(names) < 2:
        raise InputError(
            f"A comparison takes two runs or more, but got {len(names)}. Name another; `automl status` lists them."
        )
    found = [open_run(runs, name) for name in names]
    return compared([_result(run, label) for run, label in zip(found, _labels(found), strict=True)])


def _result(run: Run, label: str) -> RunResult:
    metrics = read_metrics(run.metrics)
    answers = read_answers(run.answers) if run.answers.is_file() else None
    return RunResult(label, run.path, load_config(run.config), read_manifest(run.manifest), metrics, answers)


def _labels(runs: Sequence[Run]) -> list[str]:
    """The name of each run, or its path where others have that name, too; numbered where it is given again."""
    names = Counter(run.name for run in runs)
    paths = Counter(run.path for run in runs)
    seen = Counter[Path]()
    labels = []
    for run in runs:
        seen[run.path] += 1
        label = run.name if names[run.name] == paths[run.path] else str(run.path)
        labels.append(label if seen[run.path] == 1 else f"{label} ({seen[run.path]})")
    return labels
