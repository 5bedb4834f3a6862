"""Searches that are killed and go on: is anything lost, and is the result that of a search that nobody touched?

Each search is the product's own command in a process of its own. It gets SIGKILL, SIGTERM or SIGINT while it proposes,
evaluates, writes a trial, promotes, trains, exports or reports, or when a clock says so; then `automl resume` finishes
it. Beside it stands the same search without the signal, once for each engine.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from optuna.trial import TrialState
from rich.progress import track
from safetensors.numpy import load_file

from automl.store.address import StudyAddress
from automl.store.config import load_config
from automl.store.manifest import read_manifest
from automl.store.run import Run
from automl.store.study import open_study
from automl.store.trials import DIGEST
from benchmarks.crash_child import CLOCK, PLACES, SENT
from benchmarks.options import parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, percent, publish

ENGINES = ("solver", "cma", "tpe", "random", "td3")
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
_TRIALS = 8
_LATEST = {"ask": 6, "evaluation": 5, "storing": 8, "promotion": 1, "fine-tuning": 2, "export": 1, "report": 1}
"""Moment -> the last of its occurrences at which a signal comes."""
_CLOCK = (0.1, 0.9)
"""Of the time that the undisturbed search takes."""
_LIMIT_S = 900
_FINISHED = {TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED}


@dataclass(frozen=True, slots=True)
class Case:
    """One search, and what happens to it."""

    number: int
    engine: str
    place: str
    times: float
    """How often the moment comes before the signal does; of a clock the share of the undisturbed search's time."""
    signal: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    case: Case
    hit: bool
    """Whether the signal came before the search was over."""
    exit_code: int
    """Of the process that got the signal; negative for the signal that ended it."""
    before: int
    """Trials that were completed when it ended."""
    lost: int
    """Of these, those that are not in the finished study as they were."""
    running: int
    """Trials that nobody finished."""
    unreadable: tuple[str, ...]
    """Files of the finished run that cannot be read, or are left over."""
    resumed: int
    """Exit code of `automl resume`."""
    same_trials: bool
    """Whether the study is that of the search that nobody touched."""
    same_best: bool
    """Whether the policy is."""
    same_weights: bool
    """Whether the fine-tuned weights are, bit by bit."""

    @property
    def harmed(self) -> bool:
        """Whether anything is not as it should be."""
        return bool(self.lost or self.running or self.unreadable or self.resumed) or not self.same_best


Trials = Mapping[int, tuple[str, float | None]]
"""Number of a completed trial -> its policy's digest, and its divergence."""


def cases(count: int, seed: int) -> list[Case]:
    """So many cases: every place in turn, with the signals and engines in turn, at random occurrences."""
    generator = random.Random(seed)
    places = [*PLACES, CLOCK]
    made = []
    for number in range(count):
        place = places[number % len(places)]
        times = round(generator.uniform(*_CLOCK), 2) if place == CLOCK else generator.randint(1, _LATEST[place])
        # 8 places, 3 signals and 5 engines have no common factor: every combination comes up.
        made.append(Case(number, ENGINES[number % len(ENGINES)], place, times, SIGNALS[number % len(SIGNALS)]))
    return made


class Bench:
    """The searches, all of one network, in one folder of runs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._runs = folder, folder / "runs"
        self._weights = folder / "baseline.safetensors"
        self._seconds: dict[str, float] = {}

    def prepare(self, engines: Sequence[str]) -> None:
        """Trains the baseline, and finishes a search with each engine."""
        _automl(self._folder, "train", "--limit", "400", "--epochs", "4", "--out", str(self._weights))
        for engine in engines:
            began = time.monotonic()
            ended = _automl(self._folder, *self._search(engine, f"whole-{engine}"))
            self._seconds[engine] = time.monotonic() - began
            if ended.returncode:
                raise RuntimeError(ended.stderr)

    def outcome(self, case: Case) -> Outcome:
        """Kills one search, resumes it, and compares."""
        name = f"killed-{case.number}"
        times = case.times * self._seconds[case.engine] if case.place == CLOCK else case.times
        command = [sys.executable, "-m", "benchmarks.crash_child", case.place, str(times), case.signal]
        killed = _run([*command, *self._search(case.engine, name)], self._folder)
        run = Run(self._runs / name)
        if not run.config.is_file():  # before there was a run, there was nothing to lose
            resumed = _automl(self._folder, *self._search(case.engine, name)) if not run.path.exists() else None
            before: Trials = {}
        else:
            before = _completed(run)
            resumed = _automl(self._folder, "resume", name, "--runs", str(self._runs))
        after, whole = _completed(run), Run(self._runs / f"whole-{case.engine}")
        return Outcome(
            case,
            SENT in killed.stderr,
            killed.returncode,
            len(before),
            sum(after.get(number) != facts for number, facts in before.items()),
            _unfinished(run),
            tuple(unreadable(run)),
            1 if resumed is None else resumed.returncode,
            after == _completed(whole),
            _digest(run.policy, "policy") == _digest(whole.policy, "policy"),
            _same_tensors(run.weights, whole.weights),
        )

    def _search(self, engine: str, name: str) -> list[str]:
        settings = ["--engine", engine, "--trials", str(_TRIALS), "--finetune-epochs", "2", "--limit", "400"]
        if engine == "td3":
            settings += ["--agent", "hidden=16,pretrain=20"]
        where = ["--weights", str(self._weights), "--runs", str(self._runs), "--name", name]
        return ["search", "--budget", "0.4flops", *settings, *where]


def unreadable(run: Run) -> list[str]:
    """Files of a finished run that cannot be read, and what was written aside and left."""
    readers: dict[Path, Callable[[Path], object]] = {
        run.config: load_config,
        run.manifest: read_manifest,
        run.policy: _json,
        run.metrics: _json,
        run.weights: load_file,
        run.onnx: lambda path: onnx.checker.check_model(onnx.load(path)),
        run.study_db: _checked_database,
        run.trials_csv: lambda path: path.read_text(encoding="utf-8"),
        run.report_html: lambda path: path.read_text(encoding="utf-8"),
    }
    found = [str(path.relative_to(run.path)) for path in run.path.rglob(".*")]
    for path, read in readers.items():
        try:
            read(path)
        except Exception:
            found.append(str(path.relative_to(run.path)))
    return found


def rows(outcomes: Sequence[Outcome]) -> tuple[Row, ...]:
    """What must be 0 or all."""
    count = len(outcomes)
    zero = {
        "completed trials lost": sum(each.lost for each in outcomes),
        "trials left running": sum(each.running for each in outcomes),
        "files unreadable or left over": sum(len(each.unreadable) for each in outcomes),
        "runs that could not be resumed": sum(each.resumed != 0 for each in outcomes),
    }
    made = [Row(what, found, "none", float(found), "difference", None, "0", found == 0) for what, found in zero.items()]
    same = {
        "searches that got their signal": sum(each.hit for each in outcomes),
        "same trials as undisturbed": sum(each.same_trials for each in outcomes),
        "same best policy": sum(each.same_best for each in outcomes),
        "same fine-tuned weights, bit by bit": sum(each.same_weights for each in outcomes),
    }
    made += [
        Row(what, found, f"{count} searches", found / count, "ratio", None, "all", found == count)
        for what, found in same.items()
    ]
    return tuple(made)


def _table(outcomes: Sequence[Outcome]) -> Details:
    columns = ("", "engine", "signal", "in", "at", "exit", "completed by then", "lost", "trials", "best", "weights")
    lines = []
    for each in outcomes:
        case = each.case
        moment = percent(case.times) if case.place == CLOCK else f"{case.times:g}."
        same = ("same" if equal else "OTHER" for equal in (each.same_trials, each.same_best, each.same_weights))
        facts = (str(case.number), case.engine, case.signal, case.place, moment, str(each.exit_code), str(each.before))
        lines.append((*facts, str(each.lost), *same))
    return Details("Killed searches, after `automl resume`", columns, tuple(lines))


def _automl(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return _run([sys.executable, "-m", "automl", *arguments], folder)


def _run(command: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).parents[1]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=_LIMIT_S, check=False, env=_environment(folder)
    )


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}


def _completed(run: Run) -> Trials:
    if not run.study_db.is_file():
        return {}
    with open_study(StudyAddress.of_file(run.study_db)) as study:
        done = study.get_trials(states=(TrialState.COMPLETE,))
    return {trial.number: (trial.user_attrs[DIGEST], trial.value) for trial in done}


def _unfinished(run: Run) -> int:
    with open_study(StudyAddress.of_file(run.study_db)) as study:
        return sum(trial.state not in _FINISHED for trial in study.get_trials())


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _digest(path: Path, key: str) -> str:
    return sha256(json.dumps(_json(path).get(key), sort_keys=True).encode()).hexdigest() if path.is_file() else ""


def _same_tensors(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()):
        return False
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _checked_database(path: Path) -> None:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise ValueError(verdict)


def main() -> int:
    """Kills, resumes, prints."""
    made = parser(__doc__ or "", seeds=1)
    made.add_argument("--searches", type=int, default=30, metavar="N", help="searches that are killed (default: 30)")
    made.add_argument("--jobs", type=int, default=2, metavar="N", help="searches at one time (default: 2)")
    arguments = made.parse_args()
    options = shared(arguments)
    chosen = cases(4 if options.quick else arguments.searches, options.seeds[0])
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        bench = Bench(Path(folder))
        bench.prepare(sorted({case.engine for case in chosen}))
        running = pool.map(bench.outcome, chosen)
        outcomes = list(track(running, "Killed and resumed", len(chosen)))
    return publish(Report("benchmarks.crash", rows(outcomes), (_table(outcomes),)), options)


if __name__ == "__main__":
    run_and_exit(main)
