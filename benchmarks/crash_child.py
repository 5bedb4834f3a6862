"""A search that is killed at one chosen moment: `python -m benchmarks.crash_child PLACE TIMES SIGNAL automl-arguments`.

The signal comes right before the named function is called for the n-th time. `TIMES` is seconds where the place is
`clock`.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from threading import Timer
from typing import Any

PLACES = {
    "ask": "automl.search.mirror:Mirror.ask",
    "evaluation": "automl.evaluate.evaluator:ModelEvaluator.__call__",
    "storing": "automl.store.bulk:BulkStorage.end_trial",
    "promotion": "automl.pipeline.promotion:write_json",
    "fine-tuning": "automl.training.loop:write_checkpoint",
    "export": "automl.pipeline.exporting:write_weights",
    "report": "automl.pipeline.finishing:write_metrics",
}
"""Moment -> the function before which it is."""
CLOCK = "clock"
"""The moment that a clock chooses."""
SENT = "crash_child: the signal is sent"
"""What stands in stderr then."""


def arm(place: str, times: float, number: int) -> None:
    """Makes this process get a signal at that moment."""
    if place == CLOCK:
        timer = Timer(times, _send, (number,))
        timer.daemon = True
        timer.start()
        return
    module, _, path = PLACES[place].partition(":")
    *owners, name = path.split(".")
    holder: Any = importlib.import_module(module)
    for owner in owners:
        holder = getattr(holder, owner)
    setattr(holder, name, _deadly(getattr(holder, name), int(times), number))


def _deadly(function: Callable[..., Any], times: int, number: int) -> Callable[..., Any]:
    left = times

    def call(*args: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            _send(number)
        return function(*args, **named)

    return call


def _send(number: int) -> None:
    sys.stderr.write(f"{SENT}\n")
    sys.stderr.flush()
    os.kill(os.getpid(), number)


def main() -> int:
    """Arms, and runs the command line."""
    place, times, name, *arguments = sys.argv[1:]
    arm(place, float(times), signal.Signals[name])
    sys.argv = ["automl", *arguments]
    from automl.cli.main import app
    from automl.cli.outcome import run_and_exit

    return run_and_exit(app)


if __name__ == "__main__":
    sys.exit(main())
