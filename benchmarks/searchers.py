"""Which engine finds the best policy: at equal evaluations and at equal seconds, on networks that are not saturated.

Every engine sees the same evaluator, images and sensitivity table; the table's seconds count for the engines that use
it. What is compared is the lowest divergence of the evaluated policies, over that of the uniform policy: lower is
better. Each seed divides the images anew. At equal seconds every engine gets as long as `auto` took for its first 50
evaluations: an engine whose policies are worse has more of them in that time, because the race gives them up early.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from automl.search.registry import find_engine
from benchmarks.bench import Bench, searched
from benchmarks.cache import CACHE, ResultCache
from benchmarks.interval import mean95
from benchmarks.nets import BY_DEFAULT, Net, find_nets, remarks, why_not
from benchmarks.options import Options, parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, plus_minus, publish
from benchmarks.standings import lowest_or_tied

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
            courses = _courses(net, budget, options, parsed.engines.split(","), checkpoints[-1], parsed.fresh)
            title = f"{net.name}, {budget}"
            rows += _rows(title, courses, checkpoints)
            details.append(_table(title, courses, checkpoints))
            if parsed.plots is not None:
                _plot(parsed.plots / f"{net.name}-{budget}.svg", courses, checkpoints[-1])
    notes = tuple(note for net in nets for note in remarks(net))
    return publish(Report("benchmarks.searchers", tuple(rows), tuple(details), notes), options)


def _courses(net: Net, budget: str, options: Options, engines: Sequence[str], trials: int, fresh: bool) -> Courses:
    cache = ResultCache(CACHE / "searchers")
    courses: dict[str, list[Course]] = {name: [] for name in engines}
    for seed in options.seeds:
        bench = Bench(net, budget, seed)
        for name in engines:
            facts = {"net": net.name, "budget": budget, "seed": seed, "engine": name, "trials": trials}
            facts |= {"quick": options.quick, "threads": torch.get_num_threads()}
            result = cache.get(facts, partial(_measured, bench, name, trials, seed), fresh=fresh)
            courses[name].append(Course(tuple(result["best"]), tuple(result["seconds"])))
            print(f"{net.name} {budget} seed {seed}, {name}: {courses[name][-1].best[-1]:.3f}", file=sys.stderr)
    return courses


def _measured(bench: Bench, name: str, trials: int, seed: int) -> dict[str, Any]:
    """One engine's course, as JSON values."""
    problem = bench.problem()
    head_start_s = 0.0 if name in BASELINES else bench.table_s
    timed = searched(problem, find_engine(name), trials, seed)
    uniform = timed[0].report.best.divergence
    best = tuple(each.report.best.divergence / uniform for each in timed)
    return asdict(Course(best, tuple(each.seconds + head_start_s for each in timed)))


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
    return lowest_or_tied(what, at[auto], f"best: {best}", at[best])


def _table(title: str, courses: Courses, checkpoints: Sequence[int]) -> Details:
    lines = []
    for name, each in courses.items():
        cells = [plus_minus(mean95([course.after(trials) for course in each])) for trials in checkpoints]
        lines.append((name, *cells, f"{mean95([course.seconds[-1] for course in each]).value:.0f}"))
    columns = ("engine", *(f"after {trials}" for trials in checkpoints), "seconds in all")
    return Details(
        f"{title}: lowest divergence over the uniform policy's, mean and 95% interval", columns, tuple(lines)
    )


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
    run_and_exit(main)
