"""The report of a run, rendered from its folder alone: neither the data nor the network is opened."""

from pathlib import Path

from automl.core.errors import RunError
from automl.export.policy_file import read_policy
from automl.pipeline.publishing import study_address
from automl.report.details import Details, read_details
from automl.report.html import Report, report_plots, write_report
from automl.report.metrics import Metrics, read_metrics
from automl.report.plots import write_plots
from automl.store.answers import ImageAnswers, read_answers
from automl.store.config import RunConfig, load_config
from automl.store.manifest import read_manifest
from automl.store.run import Run
from automl.store.study import open_study
from automl.store.trials import CompletedTrial, completed_trials, failures


def read_report(run: Run) -> Report:
    """What the report of a run tells, as far as the run is.

    Raises:
        InputError: If a file of the run cannot be read or is of another version, or no trial is completed yet.
    """
    config, manifest = load_config(run.config), read_manifest(run.manifest)
    trials, reasons = _trials(run, config)
    metrics = read_metrics(run.metrics) if run.metrics.is_file() else None
    if metrics is None and not trials:
        raise RunError(_nothing_yet(run, reasons))
    chosen = read_policy(run.policy).policy.digest() if metrics is not None else None
    return Report(
        name=run.name,
        config=config,
        manifest=manifest,
        trials=tuple(trials),
        failures=tuple(reasons),
        metrics=metrics,
        chosen=chosen,
        details=_details(run, chosen),
        answers=_answers(run, metrics),
    )


def render_run(run: Run, path: Path | None = None) -> Path:
    """Writes the report of a run and its plots, in the place of older ones.

    Args:
        run: With at least one completed trial.
        path: Where to write the page instead; the plots stay as they are then.

    Returns:
        Path of the page.

    Raises:
        InputError: As `read_report`; or the folder cannot be written.
    """
    report = read_report(run)
    plots = report_plots(report)
    if path is None:
        write_plots(run.plots, plots)
    write_report(path or run.report_html, report, plots)
    return path or run.report_html


def _details(run: Run, chosen: str | None) -> Details | None:
    """None where there are none, or a kill left those of an earlier result."""
    found = read_details(run.details) if chosen is not None and run.details.is_file() else None
    return found if found is not None and found.policy == chosen else None


def _answers(run: Run, metrics: Metrics | None) -> ImageAnswers | None:
    """None where there are none, or a kill left those of another result."""
    if metrics is None or not run.answers.is_file():
        return None
    found = read_answers(run.answers)
    return found if found.are_of(metrics.final.accuracy) else None


def _trials(run: Run, config: RunConfig) -> tuple[list[CompletedTrial], list[str]]:
    address = study_address(run, config)
    if address.path is not None and not address.path.is_file():  # opening would make one
        return [], []
    with open_study(address, make=address.path is not None) as study:
        found = study.get_trials(deepcopy=False)
    return completed_trials(found), failures(found)


def _nothing_yet(run: Run, reasons: list[str]) -> str:
    if reasons:
        return (
            f"A report needs a completed trial, but all {len(reasons)} of {run.name!r} failed, the last with: "
            f"{reasons[-1]} Correct the cause, then go on with `automl resume {run.name}`."
        )
    return (
        f"A report needs a completed trial, but {run.name!r} has none yet. Go on with it: `automl resume {run.name}`."
    )
