"""Exit codes: 0 done, 1 failed, 2 bad input, 3 no feasible policy, 130 interrupted and resumable."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from automl.core.errors import AutoMLError

INTERRUPTED = 130


def run_and_exit(app: typer.Typer) -> int:
    """Runs `app` and returns its exit code; what the user should read goes to stderr without a traceback."""
    try:
        result = app(standalone_mode=False)
    except AutoMLError as error:
        _complain(str(error))
        return error.exit_code
    except Exception as error:
        return _other(error)
    code = result if isinstance(result, int) else 0
    if code == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
        _complain("Interrupted at once. What was finished is kept; a run goes on with `automl resume RUN`.")
    return code


def show_json(value: Any) -> None:
    """Writes `value` to stdout; a command that is asked for JSON writes nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()  # a reader that has gone, or a full disk, is noticed here and not while Python shuts down


def _other(error: Exception) -> int:
    shown: Callable[[], None] | None = getattr(error, "show", None)
    if shown is not None:  # typer's own refusals of an option or argument
        shown()
        return int(getattr(error, "exit_code", 2))
    if isinstance(error, OSError) and error.errno is not None:
        _complain(f"The system refused: {error}. Check the path, the permissions and the free space.")
        return 1
    traceback.print_exc()
    _complain(f"This is a fault of automl: {type(error).__name__}: {error}. Please report it with the lines above.")
    return 1


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
