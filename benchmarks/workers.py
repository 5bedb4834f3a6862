"""What it costs to keep trials safe, and what more workers bring.

The storage's share: one search, whose evaluations take no time, in memory, in SQLite and in PostgreSQL, in turns; the
difference is what the database takes. It is held against the cheapest real evaluation that we know, one of the default
search: a CIFAR ResNet-20 on 8 x 8 digits, at a quarter of its multiply-adds, that loses its race after 128 images.

Throughput: 1, 2 and 4 processes on one study in PostgreSQL, whose evaluations sleep for a known time.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState

from automl.pipeline.problem import open_problem
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.store.address import StudyAddress
from automl.store.config import RunConfig
from automl.store.study import open_study
from automl.store.trials import completed
from automl.store.workers import Crew, present
from benchmarks.cache import CACHE
from benchmarks.options import parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, publish
from tests.contracts import postgres
from tests.contracts.problem import Blocks, SeparableEvaluator, separable_problem

MOST_SHARE = 0.05
COUNTS = (1, 2, 4)
"""Workers."""
COST_S = 0.5
"""What one evaluation of the fake sleeps for."""
_KNOBS = (12, 64)
"""As a ResNet-20 has, and as a MobileNetV2 has whose bits are searched too."""
_ROUNDS = 5
_MEMORY = "memory"


def blocks(count: int) -> Blocks:
    """A separable problem of so many knobs."""
    return Blocks({f"block{i:02d}": 8.0 * 0.99**i for i in range(count)}, (1.0,) * count)


@contextmanager
def places(folder: Path, server: postgres.Server | None) -> Iterator[dict[str, StudyAddress | None]]:
    """Name -> where a study of it is; None for memory."""
    found: dict[str, StudyAddress | None] = {_MEMORY: None, "SQLite": StudyAddress.of_file(folder / "study.db")}
    if server is not None:
        found["PostgreSQL"] = StudyAddress.parse(server.url, "overhead")
    yield found


def seconds_per_trial(address: StudyAddress | None, knobs: int, trials: int) -> float:
    """Of a search whose evaluations take no time."""
    if address is None:
        return _timed(optuna.create_study(), Crew("alone", leads=True), knobs, trials)
    name = f"{address.name}-{knobs}-{time.monotonic_ns()}"
    with open_study(StudyAddress(address.url, name)) as study, present(study, leads=True) as crew:
        return _timed(study, crew, knobs, trials)


def _timed(study: optuna.Study, crew: Crew, knobs: int, trials: int) -> float:
    many = blocks(knobs)
    problem = separable_problem(SeparableEvaluator(blocks=many), many)
    began = time.perf_counter()
    search(
        problem,
        study,
        find_engine("random"),
        trials=trials,
        seed=0,
        deadline=None,
        stop=lambda: False,
        on_trial=lambda _: None,
        crew=crew,
    )
    return (time.perf_counter() - began) / trials


def real_evaluations(trials: int) -> list[float]:
    """Seconds of the evaluations of the default search, from the quickest on."""
    config = RunConfig("cifar_resnet20", "digits", ("0.25flops",))
    problem, study = open_problem(config, runs=CACHE / "workers"), optuna.create_study()
    search(
        problem,
        study,
        find_engine(config.engine),
        trials=trials,
        seed=0,
        deadline=None,
        stop=lambda: False,
        on_trial=lambda _: None,
    )
    # Of two equal policies the second takes no time.
    return sorted({each.policy.digest(): each.seconds for each in reversed(completed(study))}.values())


def throughput(url: str, workers: int, trials: int) -> float:
    """Completed trials per second of so many workers, from the first evaluation to the end of the last."""
    name = f"throughput-{workers}"
    kinds = ["leads", *["works"] * (workers - 1)]
    command = [sys.executable, "-m", "benchmarks.worker_child", url, name, str(trials), str(COST_S)]
    processes = [subprocess.Popen([*command, kind], cwd=Path(__file__).parents[1]) for kind in kinds]
    for process in processes:
        if process.wait():
            raise RuntimeError(f"a worker ended with exit code {process.returncode}")
    with open_study(StudyAddress.parse(url, name), make=False) as study:
        done = study.get_trials(states=(TrialState.COMPLETE,))
    began = min(trial.datetime_start for trial in done if trial.datetime_start is not None)
    ended = max(trial.datetime_complete for trial in done if trial.datetime_complete is not None)
    return len(done) / (ended - began).total_seconds()


def overhead_rows(seconds: dict[tuple[str, int], list[float]], evaluation_s: float) -> Iterator[Row]:
    """One per database and number of knobs."""
    for (place, knobs), found in seconds.items():
        if place == _MEMORY:
            continue
        memory = seconds[_MEMORY, knobs]
        overhead = float(np.median(np.array(found) - np.array(memory)))
        share = overhead / evaluation_s
        what = f"{place}: ms of storage per trial of {knobs} parameters"
        against = f"evaluation of {evaluation_s * 1e3:.0f} ms"
        yield Row(what, 1e3 * overhead, against, share, "ratio", None, f"< {MOST_SHARE:g}x", share < MOST_SHARE)


def throughput_rows(rates: dict[int, float]) -> Iterator[Row]:
    """One per number of workers, against one worker times that number."""
    for workers, rate in rates.items():
        ideal = rates[1] * workers
        what = f"trials per second of {workers} worker(s), {COST_S:g} s each"
        yield Row(what, rate, f"{workers} times one worker", rate / ideal, "ratio", None, "", None)


def main() -> int:
    """Measures and prints."""
    made = parser(__doc__ or "", seeds=1)
    options = shared(made.parse_args())
    rounds, trials = (2, 20) if options.quick else (_ROUNDS, 60)
    evaluations_s = real_evaluations(8 if options.quick else 24)
    seconds: dict[tuple[str, int], list[float]] = {}
    rates: dict[int, float] = {}
    notes = [f"The median of the real evaluations took {np.median(evaluations_s) * 1e3:.0f} ms."]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reason = postgres.missing()
        server = None if reason is not None else stack.enter_context(postgres.running_server())
        where = stack.enter_context(places(folder, server))
        for _ in range(rounds):
            for knobs in _KNOBS:
                for place, address in where.items():
                    seconds.setdefault((place, knobs), []).append(seconds_per_trial(address, knobs, trials))
        if server is None:
            notes.append(f"Left out: everything of PostgreSQL. {reason}.")
        else:
            each = 12 if options.quick else 40
            rates = {count: throughput(server.url, count, each * count) for count in COUNTS}
    table = Details(
        "Milliseconds per trial, evaluations left out",
        ("database", *(f"{knobs} parameters" for knobs in _KNOBS)),
        tuple((place, *(_milliseconds(seconds[place, knobs]) for knobs in _KNOBS)) for place in where),
    )
    rows = (*overhead_rows(seconds, evaluations_s[0]), *throughput_rows(rates))
    return publish(Report("benchmarks.workers", rows, (table,), tuple(notes)), options)


def _milliseconds(found: Sequence[float]) -> str:
    return f"{1e3 * float(np.median(found)):.1f}"


if __name__ == "__main__":
    run_and_exit(main)
