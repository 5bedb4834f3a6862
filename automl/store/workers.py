"""The processes that work on one study: each says from time to time that it lives, and knows which others do not.

A worker is taken for lost when its process is gone, where that can be seen, and else when it has not been heard of
for a while. That is timed by the clock of whoever listens: clocks of several machines differ.
"""

import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from automl.core.decode import decoded

BEAT_S = 15.0
"""Time between two beats."""
SILENCE_S = 90.0
"""A worker that is not heard of for so long is lost; whatever a server's restart takes is less."""
_PREFIX = "worker:"
_log = logging.getLogger(__name__)

State = Literal["working", "gone"]


@dataclass(frozen=True, slots=True)
class Worker:
    """One process that works on a study, as the study knows it."""

    name: str
    """Unlike that of any other process."""
    host: str
    """Name of the machine."""
    place: str
    """Where its process number counts: the running system and its process namespace; empty where that is not known."""
    pid: int
    leads: bool
    """Whether it began the search and will finish it; the others only evaluate."""
    born: int
    """When the process began, in clock ticks since the system did: numbers of processes are used again."""
    beat: int = 0
    """Grows as long as the worker lives."""
    heard: str = ""
    """When that was, by the worker's own clock: UTC, ISO 8601. For people; machines count on `beat`."""
    state: State = "working"
    """`gone` once it has left of its own accord."""

    def is_dead(self) -> bool:
        """Whether its process is known to be gone; False where this machine cannot tell."""
        if self.state == "gone":
            return True
        return bool(self.place) and self.place == _place() and _born(self.pid) != self.born


def this_process(*, leads: bool) -> Worker:
    """The worker that this process would be; another one at each call."""
    host, pid = socket.gethostname(), os.getpid()
    return Worker(f"{host}-{pid}-{uuid.uuid4().hex[:6]}", host, _place(), pid, leads, _born(pid) or 0)


def workers(study: optuna.Study) -> list[Worker]:
    """All workers that the study has seen, by name."""
    return _read(study.user_attrs)


@dataclass(eq=False, slots=True)
class Crew:
    """The workers of a study, as one of them sees them."""

    name: str
    """Of the one that looks."""
    leads: bool
    """Whether that one began the search and will finish it."""
    _seen: dict[str, tuple[Worker, float]] = field(default_factory=dict)
    """Name -> the worker at its latest beat, and when that was heard, by this process's clock."""
    _lock: Lock = field(default_factory=Lock)

    def hear(self, found: list[Worker], now_s: float) -> None:
        """Takes in what the study says of its workers.

        Args:
            found: As `workers` returned them.
            now_s: By a clock that only goes forward.
        """
        with self._lock:
            for worker in found:
                before = self._seen.get(worker.name)
                if before is None or before[0] != worker:
                    self._seen[worker.name] = worker, now_s

    def knows(self, names: frozenset[str]) -> bool:
        """Whether all of `names` have been heard of, this one's own among them."""
        with self._lock:
            return names <= self._seen.keys() | {self.name}

    def lost(self, names: frozenset[str], now_s: float) -> frozenset[str]:
        """Those of `names` that do not live: dead, gone, silent, or never heard of."""
        with self._lock:
            return frozenset(name for name in names if name != self.name and not self._lives(name, now_s))

    def others(self, now_s: float) -> frozenset[str]:
        """Names of the other workers that live."""
        with self._lock:
            return frozenset(name for name in self._seen if name != self.name and self._lives(name, now_s))

    def _lives(self, name: str, now_s: float) -> bool:
        if name not in self._seen:
            return False
        worker, heard_s = self._seen[name]
        # Whoever leads holds the lock of the run: what another one that led has begun is left of an earlier session,
        # even if this system cannot tell, because it was started anew or the folder was moved.
        if self.leads and worker.leads:
            return False
        return not worker.is_dead() and now_s - heard_s < SILENCE_S


@contextmanager
def present(study: optuna.Study, *, leads: bool) -> Iterator[Crew]:
    """Makes this process a worker of the study for as long as the body runs.

    A thread says that it lives, and hears the others.

    Args:
        study: In a database that takes several connections.
        leads: Whether this process began the search and will finish it.
    """
    worker = this_process(leads=leads)
    _write(study, worker)
    crew = Crew(worker.name, leads)
    crew.hear(workers(study), time.monotonic())
    left = Event()
    thread = Thread(target=_beat, args=(study, worker, crew, left), name="beat", daemon=True)
    thread.start()
    try:
        yield crew
    finally:
        left.set()
        thread.join()


def _beat(study: optuna.Study, worker: Worker, crew: Crew, left: Event) -> None:
    while not left.wait(BEAT_S):
        worker = replace(worker, beat=worker.beat + 1)
        try:
            _write(study, worker)
            crew.hear(workers(study), time.monotonic())
        except (SQLAlchemyError, StorageInternalError) as error:
            _log.warning("This worker could not say that it lives: %s", error)
    try:
        _write(study, replace(worker, state="gone"))
    except (SQLAlchemyError, StorageInternalError) as error:
        _log.warning("This worker could not say that it leaves: %s", error)
    # Optuna keeps a session for each thread.
    study._storage.remove_session()


def _write(study: optuna.Study, worker: Worker) -> None:
    values = asdict(replace(worker, heard=datetime.now(UTC).isoformat(timespec="seconds")))
    study.set_user_attr(_PREFIX + values.pop("name"), values)


def _read(attributes: Mapping[str, Any]) -> list[Worker]:
    found = []
    for key, values in sorted(attributes.items()):
        if key.startswith(_PREFIX):
            try:
                found.append(_worker(key.removeprefix(_PREFIX), values))
            except (TypeError, ValueError):
                continue  # of another version, whose trials come back to the queue as those of an unknown worker
    return found


def _worker(name: str, values: Mapping[str, Any]) -> Worker:
    worker = decoded(Worker, {**values, "name": name})
    if datetime.fromisoformat(worker.heard).tzinfo is None:
        raise ValueError(f"{worker.heard!r} has no time zone")
    return worker


def _place() -> str:
    """The system that runs and the namespace of its processes; empty where `/proc` does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> int | None:
    """When a process of this machine began, in clock ticks; None where there is none of this number, or it is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    # The name of the program is in parentheses, and may hold any others.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(rest[18])
