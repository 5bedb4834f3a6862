"""How every run ends, done or not: where it is, and the command that goes on with it."""

import shlex
from pathlib import Path

from automl.core.terminal import printable
from automl.core.user_code import names_code
from automl.store.config import RunConfig
from automl.store.run import Run

MORE = ("--trials", "+40")
"""What goes on with a run that is done."""
_USUAL = Path("runs")
"""Where commands look for a run that is named."""


def ending(run: Run, config: RunConfig, *more: str) -> list[str]:
    """The run's folder, what is there of its report and network, and the command that goes on with it, a line each.

    Args:
        run: The run.
        config: Its settings: code that they name must be named again.
        more: Further words of the command.
    """
    files = {"Report": run.report_html, "Network": run.onnx}
    lines = {"Run": _shown(run.path), **{name: _shown(path) for name, path in files.items() if path.is_file()}}
    lines["Go on"] = shlex.join(["automl", "resume", _named(run), *_code_options(config), *more])
    return [printable(f"{name:<8} {words}") for name, words in lines.items()]


def _shown(path: Path) -> str:
    """As short as it may be from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _named(run: Run) -> str:
    """The run as a command finds it from here."""
    return run.name if run.path.parent == _USUAL.resolve() else _shown(run.path)


def _code_options(config: RunConfig) -> list[str]:
    """What a command must name again to go on with a run of the user's own code."""
    specs = {"--model": config.model, "--data": config.data}
    return [word for option, spec in specs.items() if names_code(spec) for word in (option, spec)]
