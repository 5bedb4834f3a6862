import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from automl.cli.serving import serve
from automl.core.errors import InputError


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def asked(method: str, url: str, path: str, host: str | None = None) -> tuple[int, str]:
    connection = HTTPConnection(str(urlsplit(url).netloc), timeout=60)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def served(ask: Callable[[str], object], number: int = signal.SIGINT, port: int | None = None) -> list[object]:
    """What `ask` finds at the URL, in another thread, which ends the server by a signal then."""
    found: list[object] = []

    def visit(url: str) -> None:
        try:
            found.append(ask(url))
        finally:
            os.kill(os.getpid(), number)

    serve(application, port, lambda url: threading.Thread(target=visit, args=(url,)).start())
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_this_machine_is_answered_until_a_signal_comes(number: int) -> None:
    before = signal.getsignal(number)
    assert served(lambda url: asked("GET", url, "/some/path"), number) == [(200, "/some/path")]
    assert signal.getsignal(number) is before


def test_what_would_change_something_is_refused() -> None:
    (found,) = served(lambda url: [asked(method, url, "/api")[0] for method in ("HEAD", "POST", "PUT", "DELETE")])
    assert found == [200, 403, 403, 403]


def test_a_page_of_others_under_a_name_of_theirs_is_refused() -> None:
    hosts = ("localhost:8080", "127.0.0.1", "evil.example", "evil.example:80", "127.0.0.1.evil.example")
    (found,) = served(lambda url: [asked("GET", url, "/", host)[0] for host in hosts])
    assert found == [200, 200, 403, 403, 403]


def test_only_this_machine_can_connect() -> None:
    def listening(url: str) -> list[str]:
        tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table]
        places = [local.split(":") for _, local, _, state, *_ in rows if state == "0A"]  # those that listen
        return [address for address, port in places if int(port, 16) == urlsplit(url).port]

    assert served(listening) == [["0100007F"]]  # 127.0.0.1, its last byte first


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"free and allowed to you, but {port} is not"):
            serve(application, port, lambda _: None)
