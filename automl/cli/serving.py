"""A web application for whoever sits at this machine, until Ctrl-C."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from automl.core.errors import InputError

_HERE = "127.0.0.1"
_NAMES = {_HERE, "localhost"}
"""What a browser on this machine, or at the end of an SSH tunnel, calls it."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a browser that keeps its connection must not keep the command


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: requests are not what the user wants to read."""


def serve(application: WSGIApplication, port: int | None, ready: Callable[[str], None]) -> None:
    """Answers requests from this machine until Ctrl-C or SIGTERM; only such as read.

    Args:
        application: What answers.
        port: Where to listen; None for any that is free.
        ready: Called with the URL once requests are answered.

    Raises:
        InputError: If the port is taken or not allowed.
    """
    with suppress(KeyboardInterrupt), _ended_by_signals(), _listening(_guarded(application), port) as server:
        ready(f"http://{_HERE}:{server.server_port}/")
        server.serve_forever()


def _listening(application: WSGIApplication, port: int | None) -> WSGIServer:
    try:
        return make_server(_HERE, port or 0, application, _Server, _Handler)
    except OSError as error:
        raise InputError(
            f"`--port` must be one that is free and allowed to you, but {port} is not: {error.strerror}. "
            "Name another, or leave it out for any that is free."
        ) from error


def _guarded(application: WSGIApplication) -> WSGIApplication:
    """Refuses what would change something, and pages of others that come here under a name of theirs."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", _HERE).partition(":")[0] not in _NAMES:
            return _refused(start_response, b"Only this machine may ask.")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _refused(start_response, b'{"reason": "This dashboard shows a run and changes nothing."}')
        return application(environ, start_response)

    return answer


def _refused(start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise `KeyboardInterrupt`, also where a shell has started this in the background."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
