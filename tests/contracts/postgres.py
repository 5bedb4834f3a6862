"""A PostgreSQL server of one's own, for tests and benchmarks."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_ACCOUNT = "postgres"
"""The server refuses to run as root; Debian's package makes this account for it."""


def missing() -> str | None:
    """Why there can be no server here; None where there can."""
    if _program("initdb") is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and subprocess.run(["id", _ACCOUNT], capture_output=True, check=False).returncode:
        return "PostgreSQL does not run as root, and there is no account `postgres`"
    return None


@dataclass(frozen=True, slots=True)
class Server:
    """A running server with an empty database."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """As `--storage` takes it; any password will do."""
        return f"postgresql://automl@127.0.0.1:{self.port}/studies"

    def restart(self) -> None:
        """Ends all connections at once, as a crash of the server does, and starts it again."""
        _control(self.folder, "restart", "-m", "immediate", "-w")


@contextmanager
def running_server() -> Iterator[Server]:
    """A server on a free port of this machine, gone with its data afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="automl-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _ACCOUNT)
        data = folder / "data"
        _as_account([_found("initdb"), "-D", str(data), "-A", "trust", "-U", "automl", "--no-sync", "-E", "UTF8"])
        port = _free_port()
        settings = (
            f"port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{folder}'\nmax_connections=50\n"
        )
        _as_account(["sh", "-c", f"cat >> {data}/postgresql.conf"], settings)
        _control(folder, "start", "-w")
        try:
            _as_account([_found("createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "automl", "studies"])
            yield Server(folder, port)
        finally:
            _control(folder, "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _control(folder: Path, *arguments: str) -> None:
    _as_account([_found("pg_ctl"), "-D", str(folder / "data"), "-l", str(folder / "log"), *arguments])


def _as_account(command: list[str], given: str = "") -> None:
    if os.geteuid() == 0:
        command = ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--init-groups", *command]
    # A server that outlives the command must not hold its output open.
    with tempfile.TemporaryFile() as output:
        ended = subprocess.run(
            command, input=given.encode(), stdout=output, stderr=output, cwd="/", env=_environment(), check=False
        )
        if ended.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {output.read().decode(errors='replace')}")


def _environment() -> Mapping[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "HOME": "/", "LC_ALL": "C.UTF-8", "USER": getpass.getuser()}


def _found(program: str) -> str:
    path = _program(program)
    assert path is not None
    return path


def _program(name: str) -> str | None:
    return next((str(place / name) for place in _PLACES if (place / name).is_file()), shutil.which(name))


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
