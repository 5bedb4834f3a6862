"""A run in optuna-dashboard: its trials as they are at any moment, beside the report's sentence, budgets and plots."""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from wsgiref.types import WSGIApplication

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from automl.core.errors import InputError
from automl.pipeline.publishing import study_address
from automl.pipeline.reporting import read_report
from automl.report.html import Report, render_report, report_plots
from automl.report.note import note
from automl.store.files import write_text
from automl.store.run import Run
from automl.store.study import open_study
from automl.store.view import view


def refuse_without_dashboard() -> None:
    """Raises `InputError`, which names the extra, where the package optuna-dashboard is not installed."""
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise InputError(
            "`automl dashboard` needs the package optuna-dashboard, which is not installed. "
            "Install it with `pip install 'automl-compress[dashboard]'`, or read report.html: `automl report`."
        )


@contextmanager
def dashboard(run: Run) -> Iterator[WSGIApplication]:
    """The web application, while the body runs; neither the run's folder nor its study is written to.

    Trials are read at each request. The note, the plots and the report are those of the moment when it was opened.

    Raises:
        InputError: If optuna-dashboard is not installed, or the run cannot be read or has no completed trial yet.
    """
    refuse_without_dashboard()
    from optuna_dashboard import wsgi  # of the extra

    report = read_report(run)
    address = study_address(run, report.config)
    with TemporaryDirectory(prefix="automl-dashboard-") as folder, open_study(address, make=False) as study:
        artifacts = FileSystemArtifactStore(folder)
        shown = _beside_trials(run, report, study, artifacts)
        with view(study, address, shown) as storage:
            application: WSGIApplication = wsgi(storage, artifact_store=artifacts)
            yield application


def _beside_trials(
    run: Run, report: Report, study: optuna.Study, artifacts: FileSystemArtifactStore
) -> Mapping[str, Any]:
    """What the dashboard finds in a study's system attributes: files and a note that links to them.

    They are made in a study in memory, so that the forms of both are the libraries' own business.
    """
    from optuna_dashboard import save_note
    from optuna_dashboard.artifact import get_artifact_path

    scratch, plots = optuna.create_study(), report_plots(report)
    links = {
        name: get_artifact_path(study, _uploaded(scratch, artifacts, file, content))
        for name, file, content in [
            *((name, f"{name}.svg", svg) for name, svg in plots.items()),
            ("report.html", "report.html", render_report(report, plots)),
        ]
    }
    save_note(scratch, note(report, run.report_html, links))
    return scratch._storage.get_study_system_attrs(scratch._study_id)


def _uploaded(study: optuna.Study, artifacts: FileSystemArtifactStore, name: str, content: str) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_text(path, content)
        return upload_artifact(artifact_store=artifacts, file_path=str(path), study_or_trial=study)
