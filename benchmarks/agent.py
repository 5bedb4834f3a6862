"""Reinforcement-learning agents on true evaluations: AMC as released and repaired, ours, and engines without any.

Every arm sees the same evaluator, images and sensitivity table; the table's seconds count for those that look at it.
What is compared is the lowest divergence of the evaluated policies within the budget, over that of the uniform policy:
lower is better. Each seed divides the images anew. AMC as released proposes policies over the budget: its agent learns
from them, but they do not count, and policies within the budget do not race against them.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from automl.core.evaluation import Evaluation, Evaluator
from automl.core.policy import CompressionPolicy
from automl.core.problem import Problem
from automl.core.projection import TARGET_USE
from benchmarks.agent_arms import OURS, RELEASED, SOLVERS, Arm, find_arms
from benchmarks.agent_course import Course
from benchmarks.bench import Bench, searched
from benchmarks.cache import CACHE, ResultCache
from benchmarks.interval import mean95, paired95
from benchmarks.nets import Net, chosen_nets, nets_option, remarks, why_not
from benchmarks.options import Options, parser, shared
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, percent, plus_minus, publish
from benchmarks.standings import lowest_or_tied

NETS = ("mobilenetv2-clutter", "resnet56-clutter")
CHECKPOINTS = (10, 20, 40, 50, 100, 200, 400)
"""Trials; those that a shorter search does not reach are left out, and its last one is added."""
CATCH_UP = 40
"""Trials within which ours are to reach what AMC as released reaches at the end."""

Courses = Mapping[str, Sequence[Course]]
"""Arm -> one course per seed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare."""

    arms: tuple[Arm, ...]
    trials: int
    options: Options
    fresh: bool
    """Whether to search again what is on disk."""


def apart(problem: Problem, beyond: Evaluator) -> Problem:
    """Policies over the budget are left to `beyond`: else they would win the races of those within it."""

    def evaluate(policy: CompressionPolicy) -> Evaluation:
        feasible = problem.budget.satisfied_by(problem.cost_model(policy), problem.dense)
        return problem.evaluate(policy) if feasible else beyond(policy)

    return replace(problem, evaluate=evaluate)


def measured(bench: Bench, arm: Arm, trials: int, seed: int) -> dict[str, Any]:
    """One arm's course, as JSON values."""
    problem = apart(bench.problem(), bench.evaluator())
    head_start_s = bench.table_s if arm.knows_the_table else 0.0
    return asdict(Course.of(problem, searched(problem, arm.build(), trials, seed), head_start_s))


def run(net: Net, budget: str, plan: Plan, cache: ResultCache) -> Courses:
    """Every arm's courses on one network and budget; each is on disk as soon as it is there."""
    courses: dict[str, list[Course]] = {arm.name: [] for arm in plan.arms}
    for seed in plan.options.seeds:
        bench = Bench(net, budget, seed)
        for arm in plan.arms:
            facts = {"net": asdict(net), "budget": budget, "seed": seed, **arm.facts(), "trials": plan.trials}
            facts |= {"quick": plan.options.quick, "threads": torch.get_num_threads()}
            result = cache.get(facts, partial(measured, bench, arm, plan.trials, seed), fresh=plan.fresh)
            course = Course.of_json(result)
            courses[arm.name].append(course)
            said = f"{course.score(plan.trials):.3f}, {percent(course.feasible_share)} within the budget"
            print(f"{net.name} {budget} seed {seed}, {arm.name}: {said}", file=sys.stderr)
    return courses


def rows(title: str, courses: Courses, trials: int) -> tuple[Row, ...]:
    """Ours against AMC as released, against the budget, and against the engines without an agent."""
    return (
        *_catching_up(title, courses, trials),
        *_within_the_budget(title, courses),
        *_against_solvers(title, courses, trials),
    )


def table(title: str, courses: Courses, trials: int) -> Details:
    """Every arm's figures."""
    reached = checkpoints(trials)
    columns = ("arm", *(f"after {each}" for each in reached), "feasible", "median use", "seconds")
    lines = tuple((name, *_figures(each, reached)) for name, each in courses.items())
    return Details(f"{title}: lowest divergence within the budget over the uniform policy's, 95%", columns, lines)


def notes(title: str, courses: Courses, trials: int) -> tuple[str, ...]:
    """Where reinforcement learning loses, in words."""
    return tuple(
        f"{title}: reinforcement learning loses to {row.baseline} after {trials} trials: {row.measured:.3f} against "
        f"{row.measured - row.compared:.3f} ({_certainty(row)})."
        for row in _against_solvers(title, courses, trials)
        if row.compared > 0
    )


def checkpoints(trials: int) -> tuple[int, ...]:
    """Those of `CHECKPOINTS` before the last trial, and that one."""
    return (*(each for each in CHECKPOINTS if each < trials), trials)


def _catching_up(title: str, courses: Courses, trials: int) -> Iterator[Row]:
    """Each of ours after a few trials, against AMC as released after all."""
    early = min(CATCH_UP, trials)
    for name in _ours(courses) if RELEASED in courses else ():
        mine, theirs = _scores(courses[name], early), _scores(courses[RELEASED], trials)
        gap = paired95(mine, theirs)
        against = f"{RELEASED} after {trials}: {np.mean(theirs):.3f}"
        what = f"{title}: {name} after {early}"
        yield Row(what, mean95(mine).value, against, gap.value, "difference", gap.ci95, "<= 0", gap.value <= 0)


def _within_the_budget(title: str, courses: Courses) -> Iterator[Row]:
    """The least of ours that is within the budget, and the least that uses it."""
    ours = _ours(courses)
    if not ours:
        return
    for what, shares, least in (
        ("within the budget", {name: [each.feasible_share for each in courses[name]] for name in ours}, 1.0),
        ("median use of it", {name: [each.median_use for each in courses[name]] for name in ours}, TARGET_USE),
    ):
        name = min(ours, key=lambda each: min(shares[each]))
        found = min(shares[name])
        said = f"{title}: {what}, least of ours ({name})"
        yield Row(said, found, percent(least), found - least, "points", None, ">= 0", found >= least)


def _against_solvers(title: str, courses: Courses, trials: int) -> Iterator[Row]:
    """The best of ours at the end, against the best engine of `SOLVERS`."""
    ours, solvers = _ours(courses), [name for name in SOLVERS if name in courses]
    if ours and solvers:
        at = {name: _scores(courses[name], trials) for name in (*ours, *solvers)}
        best, theirs = (min(names, key=lambda each: mean95(at[each]).value) for names in (ours, solvers))
        yield lowest_or_tied(f"{title}: best agent ({best}) after {trials}", at[best], theirs, at[theirs])


def _certainty(row: Row) -> str:
    if row.ci95 is None:
        return "one seed, which has no interval"
    return "the interval of the difference reaches 0" if row.held else "the interval of the difference is above 0"


def _ours(courses: Courses) -> list[str]:
    return [name for name in OURS if name in courses]


def _scores(courses: Sequence[Course], trials: int) -> list[float]:
    return [course.score(trials) for course in courses]


def _figures(courses: Sequence[Course], reached: Sequence[int]) -> tuple[str, ...]:
    return (
        *(plus_minus(mean95(_scores(courses, trials))) for trials in reached),
        percent(float(np.mean([course.feasible_share for course in courses]))),
        percent(float(np.mean([course.median_use for course in courses]))),
        f"{np.mean([course.seconds[-1] for course in courses]):.0f}",
    )


def _arguments() -> argparse.Namespace:
    made = parser(__doc__ or "", seeds=5)
    nets_option(made, NETS)
    made.add_argument("--budgets", default="0.25flops", help="budgets, joined by spaces")
    made.add_argument("--trials", type=_trials, help="of each search (default: 400; --quick: 12)")
    made.add_argument("--arms", metavar="A,B", help="arms, joined by commas (default: all; --quick: a few)")
    made.add_argument("--fresh", action="store_true", help="search again what is on disk")
    return made.parse_args()


def _trials(text: str) -> int:
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"the first trial is the uniform policy; take at least 2, not {text}")
    return int(text)


def main() -> int:
    """Runs the benchmark; returns 1 where a target is missed."""
    arguments = _arguments()
    options = shared(arguments)
    trials = arguments.trials or (12 if options.quick else CHECKPOINTS[-1])
    plan = Plan(find_arms(arguments.arms, options.quick), trials, options, arguments.fresh)
    nets = chosen_nets(arguments)
    report = Report("benchmarks.agent", (), (), tuple(note for net in nets for note in remarks(net)))
    for net in (net for net in nets if why_not(net) is None):
        for budget in arguments.budgets.split():
            title, courses = f"{net.name}, {budget}", run(net, budget, plan, ResultCache(CACHE / "agent"))
            report = replace(
                report,
                rows=report.rows + rows(title, courses, trials),
                details=(*report.details, table(title, courses, trials)),
                notes=report.notes + notes(title, courses, trials),
            )
    return publish(report, options)


if __name__ == "__main__":
    run_and_exit(main)
