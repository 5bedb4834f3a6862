"""How a benchmark that is run as a command ends."""

import sys
from collections.abc import Callable
from typing import NoReturn

from automl.core.errors import AutoMLError


def run_and_exit(main: Callable[[], int]) -> NoReturn:
    """Exits with what `main` returns; a refusal is one line on stderr, without a traceback, and its own exit code."""
    try:
        sys.exit(main())
    except AutoMLError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
