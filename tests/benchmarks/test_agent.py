from dataclasses import replace
from pathlib import Path

import pytest

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject, open_subject
from automl.store.config import RunConfig
from benchmarks import bench
from benchmarks.agent import Courses, Plan, apart, checkpoints, notes, rows, run, table
from benchmarks.agent_arms import RELEASED, find_arms
from benchmarks.agent_course import Course
from benchmarks.cache import ResultCache
from benchmarks.nets import Net
from benchmarks.options import Options
from tests.contracts.problem import SeparableEvaluator, separable_problem

NET = Net("tiny", "tests.benchmarks.test_peers:tiny", "digits")
TRIALS = 60


def opened(net: Net, seed: int, talk: Conversation) -> Subject:
    return open_subject(RunConfig(net.model, net.data, ("1flops",), seed=seed, limit=300))


def closed(net: Net, seed: int, talk: Conversation) -> Subject:
    raise AssertionError("everything is on disk")


def course(early: float, late: float) -> Course:
    """1 for the uniform policy, `early` from the second trial on, `late` from the 50th on."""
    return Course(
        divergences=(1.0, *(early,) * 48, *(late,) * 11),
        accuracies=(0.5,) * TRIALS,
        feasible=(True,) * TRIALS,
        used=(0.99,) * TRIALS,
        seconds=tuple(map(float, range(TRIALS))),
    )


def over(made: Course) -> Course:
    """Every other policy is over the budget, from the second trial on."""
    return replace(made, feasible=(True, *(True, False) * 29, True), used=(1.0, *(0.9, 1.2) * 29, 0.9))


def courses(early: float, late: float, solver: float = 0.6) -> Courses:
    shifts = (0.0, 0.01, 0.02)
    return {
        RELEASED: [over(course(0.9 + shift, 0.8 + shift)) for shift in shifts],
        "td3": [course(early + shift, late + shift) for shift in shifts],
        "sac from scratch": [course(0.95, 0.95) for _ in shifts],
        "solver": [course(solver + shift, solver + shift) for shift in shifts],
        "cma": [course(0.99, 0.99) for _ in shifts],
    }


def test_ours_after_40_trials_is_held_against_amc_after_all() -> None:
    found = {row.what: row for row in rows("net", courses(0.8, 0.5), TRIALS)}
    level, behind = found["net: td3 after 40"], found["net: sac from scratch after 40"]
    assert level.baseline == f"{RELEASED} after 60: 0.810"
    assert (level.compared, behind.compared) == pytest.approx((0.0, 0.14))
    assert (level.held, behind.held) == (True, False)
    assert {row.held for row in rows("net", courses(0.801, 0.5), TRIALS) if "td3 after 40" in row.what} == {False}


def test_the_best_agent_is_held_against_the_best_solver() -> None:
    *_, ahead = rows("net", courses(0.8, 0.5), TRIALS)
    assert (ahead.what, ahead.baseline, ahead.held) == ("net: best agent (td3) after 60", "solver", True)
    assert ahead.compared == pytest.approx(-0.1)
    assert notes("net", courses(0.8, 0.5), TRIALS) == ()
    *_, behind = rows("net", courses(0.8, 0.65), TRIALS)
    assert behind.compared == pytest.approx(0.05)
    assert behind.held is False


def test_it_is_said_in_words_where_reinforcement_learning_loses() -> None:
    (said,) = notes("net", courses(0.8, 0.65), TRIALS)
    assert said == (
        "net: reinforcement learning loses to solver after 60 trials: 0.660 against 0.610 "
        "(the interval of the difference is above 0)."
    )
    one = {name: each[:1] for name, each in courses(0.8, 0.65).items()}
    assert "one seed" in notes("net", one, TRIALS)[0]
    near = dict(courses(0.8, 0.65)) | {"td3": [course(0.8, late) for late in (0.50, 0.70, 0.70)]}
    assert "reaches 0" in notes("net", near, TRIALS)[0]


def test_the_least_of_ours_must_be_within_the_budget_and_use_it() -> None:
    found = {row.what: row for row in rows("net", courses(0.8, 0.5), TRIALS)}
    assert {row.held for what, row in found.items() if "least of ours" in what} == {True}
    wasteful = dict(courses(0.8, 0.5))
    wasteful["td3"] = [*wasteful["td3"][:2], over(wasteful["td3"][2])]
    within, use = (row for row in rows("net", wasteful, TRIALS) if "least of ours (td3)" in row.what)
    assert (within.measured, within.compared) == pytest.approx((30 / 59, 30 / 59 - 1))
    assert (use.measured, use.compared) == pytest.approx((0.9, -0.08))
    assert (within.held, use.held) == (False, False)


def test_rows_need_the_arms_that_they_compare() -> None:
    whole = courses(0.8, 0.5)
    assert rows("net", {"solver": whole["solver"]}, TRIALS) == ()
    only = rows("net", {"td3": whole["td3"]}, TRIALS)
    assert [row.what for row in only] == [
        "net: within the budget, least of ours (td3)",
        "net: median use of it, least of ours (td3)",
    ]


def test_the_table_has_a_line_per_arm() -> None:
    made = table("net", courses(0.8, 0.5), TRIALS)
    assert made.columns == ("arm", *(f"after {n}" for n in (10, 20, 40, 50, 60)), "feasible", "median use", "seconds")
    released, td3, *_ = made.rows
    # 0.01 either way: standard error 0.01 / sqrt(3), t(0.975, 2) = 4.303.
    assert released == (RELEASED, *["0.910 ± 0.025"] * 3, *["0.810 ± 0.025"] * 2, "50.8%", "90.0%", "59")
    assert td3[3:6] == ("0.810 ± 0.025", "0.510 ± 0.025", "0.510 ± 0.025")


def test_checkpoints_end_with_the_last_trial() -> None:
    assert checkpoints(400) == (10, 20, 40, 50, 100, 200, 400)
    assert checkpoints(12) == (10, 12)


def test_policies_within_the_budget_do_not_race_against_those_over_it() -> None:
    within, beyond = SeparableEvaluator(), SeparableEvaluator()
    problem = apart(separable_problem(within), beyond)
    half = CompressionPolicy({f"block{i}": 16 for i in range(8)})
    more = replace(half, channels={**half.channels, "block0": 20})
    found: list[Evaluation] = [problem.evaluate(policy) for policy in (half, more)]
    assert [each.policy for each in found] == [half, more]
    assert (within.asked, beyond.asked) == ([half], [more])


def test_every_course_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "open_net", opened)
    plan = Plan(find_arms(f"{RELEASED},solver", True), 6, Options(True, None, (0,)), False)
    found = run(NET, "0.5flops", plan, ResultCache(tmp_path))
    assert list(found) == [RELEASED, "solver"]
    assert {len(each.divergences) for (each,) in found.values()} == {6}
    assert found["solver"][0].feasible_share == 1.0
    assert found["solver"][0].score(6) <= 1.0
    monkeypatch.setattr(bench, "open_net", closed)
    assert run(NET, "0.5flops", plan, ResultCache(tmp_path)) == found
