"""`log.txt` of a run: what the libraries and we log while it runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from automl.store.files import unwritable
from automl.store.run import Run


class _RunLog(logging.FileHandler):
    """A log that loses lines on a full disk: what must not be lost is refused elsewhere, with a message."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def run_log(run: Run) -> Iterator[None]:
    """Sends what the libraries log to the run's `log.txt` meanwhile."""
    try:
        handler = _RunLog(run.log, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise unwritable(run.log, error) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("automl")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
