"""Which engine finds the best policy: at equal evaluations and at equal seconds, on networks that are not saturated.

Every engine sees the same evaluator, images and sensitivity table; the table's seconds count for the engines that use
it. What is compared is the lowest divergence of the evaluated policies, over that of the uniform policy: lower is
better. Each seed divides the images anew. At equal seconds every engine gets as long as `auto` took for its first 50
evaluations: an engine whose policies are worse has more of them in that time, because the race gives them up early.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import optuna
import torch
from rich.console import Console

from automl.core.problem import Problem
from automl.core.sensitivity import SensitivityTable
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.evaluator import ModelEvaluator
from automl.evaluate.held import Batches
from automl.pipeline.conversation import Conversation
from automl.pipeline.held import held
from automl.pipeline.searching import dense_network, pose
from automl.pipeline.sensitivity import sensitivity_table
from automl.pipeline.subject import Subject
from automl.report.progress import Progress
from automl.search.engine import TrialReport
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.store.run import create_run
from benchmarks.cache import CACHE, ResultCache
from benchmarks.interval import mean95, paired95
from benchmarks.nets import BY_DEFAULT, at_budget, find_nets, open_net, remarks, why_not
from benchmarks.options import Options, parser, shared
from benchmarks.report import Details, Report, Row, publish

ENGINES = ("solver", "cma", "tpe", "gp", "evolution", "random", "uniform")
BASELINES = ("random", "uniform")
"""These know nothing of the table."""
CHECKPOINTS = (20, 50, 100, 200)
"""Evaluations."""
_TIMED = 50
"""Evaluations of `auto` whose seconds every engine gets."""


@dataclass(frozen=True, slots=True)
class Course:
    """How one search went."""

    best: tuple[float, ...]
    """Lowest divergence after each trial, over that of the uniform policy."""
    seconds: tuple[float, ...]
    """Wall time after each trial, with the table's where the engine uses it."""

    def after(self, trials: int) -> float:
        """The best of the first `trials`."""
        return self.best[min(trials, len(self.best)) - 1]

    def within(self, seconds: float) -> float:
        """The best of those that ended in time; of the uniform policy where none did."""
        in_time = [best for best, spent in zip(self.best, self.seconds, strict=True) if spent <= seconds]
        return in_time[-1] if in_time else 1.0


Courses = Mapping[str, Sequence[Course]]
"""Engine -> one course per seed."""


def main() -> int:
    """Runs the benchmark; returns 1 where a target is missed."""
    arguments = parser(__doc__ or "", seeds=5)
    arguments.add_argument("--nets", help="networks, joined by commas")
    arguments.add_argument("--budgets", default="0.25flops", help="budgets, joined by spaces")
    arguments.add_argument("--engines", default=",".join(ENGINES), help="engines, joined by commas")
    arguments.add_argument("--plots", type=Path, metavar="DIR", help="write an SVG per network and budget there")
    arguments.add_argument("--fresh", action="store_true", help="search again what is on disk")
    parsed = arguments.parse_args()
    options = shared(parsed)
    nets = find_nets(parsed.nets or (["resnet20-clutter"] if options.quick else BY_DEFAULT[:2]))
    checkpoints = CHECKPOINTS[:1] if options.quick else CHECKPOINTS
    rows: list[Row] = []
    details: list[Details] = []
    for net in nets:
        if why_not(net) is not None:
            continue
        for budget in parsed.budgets.split():
            courses = _courses(net.name, budget, options, parsed.engines.split(","), checkpoints[-1], parsed.fresh)
            title = f"{net.name}, {budget}"
            rows += _rows(title, courses, checkpoints)
            details.append(_table(title, courses, checkpoints))
            if parsed.plots is not None:
                _plot(parsed.plots / f"{net.name}-{budget}.svg", courses, checkpoints[-1])
    notes = tuple(note for net in nets for note in remarks(net))
    return publish(Report("benchmarks.searchers", tuple(rows), tuple(details), notes), options)


def _subject(net: str, budget: str, seed: int, options: Options) -> Subject:
    console = Console(stderr=True)
    with Progress(console) as progress:
        talk = Conversation(console, progress, lambda: False)
        return at_budget(open_net(find_nets(net)[0], seed, talk), budget)


class _Bench:
    """One network, budget and seed; the table is measured when an engine is first run."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._ready: tuple[DenseNetwork, SensitivityTable, Batches, float] | None = None

    def measured(self, engine: str, trials: int) -> dict[str, Any]:
        """One engine's course, as JSON values."""
        dense, table, batches, table_s = self._ready = self._ready or _prepared(self._subject)
        problem = pose(self._subject, table, ModelEvaluator(dense, self._subject.cost_model, batches))
        head_start_s = 0.0 if engine in BASELINES else table_s
        return asdict(_course(problem, engine, trials, self._subject.config.seed, head_start_s))


def _courses(net: str, budget: str, options: Options, engines: Sequence[str], trials: int, fresh: bool) -> Courses:
    cache = ResultCache(CACHE / "searchers")
    courses: dict[str, list[Course]] = {name: [] for name in engines}
    for seed in options.seeds:
        bench = _Bench(_subject(net, budget, seed, options))
        for name in engines:
            facts = {"net": net, "budget": budget, "seed": seed, "engine": name, "trials": trials}
            facts |= {"quick": options.quick, "threads": torch.get_num_threads()}
            result = cache.get(facts, partial(bench.measured, name, trials), fresh=fresh)
            courses[name].append(Course(tuple(result["best"]), tuple(result["seconds"])))
            print(f"{net} {budget} seed {seed}, {name}: {courses[name][-1].best[-1]:.3f}", file=sys.stderr)
    return courses


def _prepared(subject: Subject) -> tuple[DenseNetwork, SensitivityTable, Batches, float]:
    """The dense network, its table, the search images, and the seconds that the first two took."""
    silent = Console(quiet=True)
    started = time.perf_counter()
    dense = dense_network(subject)
    with TemporaryDirectory() as folder, Progress(silent) as progress:
        talk = Conversation(silent, progress, lambda: False)
        table = sensitivity_table(create_run(Path(folder), "benchmark"), subject, dense, talk)
    table_s = time.perf_counter() - started
    return dense, table, list(held(subject, subject.splits.search)), table_s


def _course(problem: Problem, name: str, trials: int, seed: int, head_start_s: float) -> Course:
    best: list[float] = []
    seconds: list[float] = []
    started = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def note(report: TrialReport) -> None:
        best.append(report.best.divergence)
        seconds.append(time.perf_counter() - started + head_start_s)

    search(
        problem,
        optuna.create_study(),
        find_engine(name),
        trials=trials,
        seed=seed,
        deadline=None,
        stop=lambda: False,
        on_trial=note,
    )
    return Course(tuple(each / best[0] for each in best), tuple(seconds))


def _rows(title: str, courses: Courses, checkpoints: Sequence[int]) -> list[Row]:
    """`auto` against the best single engine, at each number of evaluations and at equal seconds."""
    auto = find_engine("auto").name
    rows = []
    for trials in checkpoints:
        at = {name: [course.after(trials) for course in each] for name, each in courses.items()}
        rows.append(_row(f"{title}: auto ({auto}) after {trials}", auto, at))
    if auto in courses:
        limits = [course.seconds[min(_TIMED, len(course.seconds)) - 1] for course in courses[auto]]
        timed = {
            name: [course.within(limit) for course, limit in zip(each, limits, strict=True)]
            for name, each in courses.items()
        }
        rows.append(_row(f"{title}: auto ({auto}) at equal seconds", auto, timed))
    return rows


def _row(what: str, auto: str, at: Mapping[str, Sequence[float]]) -> Row:
    best = min(at, key=lambda name: mean95(at[name]).value)
    gap = paired95(at[auto], at[best])
    held = gap.value <= 0 or (gap.ci95 is not None and gap.ci95[0] <= 0)
    return Row(what, mean95(at[auto]).value, f"best: {best}", gap.value, "difference", gap.ci95, "<= 0 or inside", held)


def _table(title: str, courses: Courses, checkpoints: Sequence[int]) -> Details:
    lines = []
    for name, each in courses.items():
        cells = [_cell([course.after(trials) for course in each]) for trials in checkpoints]
        lines.append((name, *cells, f"{mean95([course.seconds[-1] for course in each]).value:.0f}"))
    columns = ("engine", *(f"after {trials}" for trials in checkpoints), "seconds in all")
    return Details(
        f"{title}: lowest divergence over the uniform policy's, mean and 95% interval", columns, tuple(lines)
    )


def _cell(values: Sequence[float]) -> str:
    found = mean95(values)
    return f"{found.value:.3f}" if found.ci95 is None else f"{found.value:.3f} ± {found.ci95[1] - found.value:.3f}"


def _plot(path: Path, courses: Courses, trials: int) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, each in courses.items():
        means = [mean95([course.after(trial) for course in each]).value for trial in range(1, trials + 1)]
        axes.step(range(1, trials + 1), means, where="post", label=name)
    axes.set_xlabel("evaluations")
    axes.set_ylabel("lowest divergence, over the uniform policy's")
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
