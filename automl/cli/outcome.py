"""Exit codes: 0 done, 1 failed, 2 bad input, 3 no feasible policy, 130 interrupted and resumable."""

import errno
import json
import sys
import traceback
from typing import Any

import typer

from automl.core.errors import AutoMLError, InputError
from automl.core.terminal import printable

INTERRUPTED = 130
AT_ONCE = "Interrupted at once. What was finished is kept; a run goes on with `automl resume RUN`."
_BAD_PATHS = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
"""What the system says of a path that cannot be, whatever the disk holds."""


def run_and_exit(app: typer.Typer) -> int:
    """Runs `app` and returns its exit code; what the user should read goes to stderr without a traceback."""
    try:
        result = app(standalone_mode=False)
    except AutoMLError as error:
        _complain(str(error))
        _show_notes(error)
        return error.exit_code
    except Exception as error:
        return _other(error)
    code = result if isinstance(result, int) else 0
    if code == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
        _complain(AT_ONCE)
    return code


def show_json(value: Any) -> None:
    """Writes `value` to stdout; a command that is asked for JSON writes nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()  # a reader that has gone, or a full disk, is noticed here and not while Python shuts down


def _other(error: Exception) -> int:
    if hasattr(error, "format_message"):
        return _refused_by_typer(error)
    if isinstance(error, OSError) and error.errno is not None:
        _complain(f"The system refused: {error}. Check the path, the permissions and the free space.")
        _show_notes(error)
        return InputError.exit_code if error.errno in _BAD_PATHS else 1
    traceback.print_exc()
    _complain(f"This is a fault of automl: {type(error).__name__}: {error}. Please report it with the lines above.")
    _show_notes(error)
    return 1


def _refused_by_typer(error: Any) -> int:
    """Shows what typer finds wrong with an option or argument; the command alone gets its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        sys.stderr.write(f"{printable(error.ctx.get_usage())}\n" if getattr(error, "ctx", None) else "")
        _complain(error.format_message())
    return int(error.exit_code)


def _show_notes(error: BaseException) -> None:
    """How the run ended in which this was raised."""
    for note in getattr(error, "__notes__", ()):
        sys.stderr.write(f"{printable(note)}\n")


def _complain(message: str) -> None:
    # Further lines are set in: what a file of somebody else says must not pass for another message of ours.
    said = printable(message).replace("\n", "\n  ")
    sys.stderr.write(f"error: {said}\n")
