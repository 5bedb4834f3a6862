import logging
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import optuna
import pytest
import torch

from automl.core.errors import RunError
from automl.core.policy import CompressionPolicy
from automl.search.engine import Engine, TrialReport
from automl.search.learner import Learner
from automl.search.multipliers import matching
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.search.sampler import uniform_policy
from envs.observation import Observation, Observer
from envs.trajectory import Trajectory
from tests.contracts.engine import EngineContract, run_search, search_in
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import (
    SENSITIVITY,
    SIXTEEN,
    WIDTHS,
    SeparableEvaluator,
    least_divergence,
    separable_problem,
    wrong_table,
)

QUICK = "hidden=16,batch=32,pretrain=2"
SETTINGS = {"ddpg": "hidden=16", "td3": QUICK, "sac": QUICK}
LEARNING = {"ddpg": "actor_rate=0.001", "td3": "hidden=64", "sac": "hidden=64"}
EPISODES = {"ddpg": 200, "td3": 100, "sac": 80}
"""In which an agent learns the problem of `SIXTEEN` blocks."""
NEAR = {"ddpg": 1.6, "td3": 1.3, "sac": 1.3}
"""Over the optimum, the mean of the last ten episodes, their noise included; the uniform policy is at 4.2, the solver's
plain answer at 1.23 without noise."""


class AgentContract(EngineContract):
    name: ClassVar[str]

    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine(self.name, SETTINGS[self.name])

    def test_a_search_that_stops_and_goes_on_asks_for_what_one_without_a_break_does(self, tmp_path: Path) -> None:
        whole = asked_for(self.name, tmp_path / "whole", [12])
        assert asked_for(self.name, tmp_path / "parts", [4, 5, 12]) == whole

    def test_it_goes_on_from_trials_alone(self, tmp_path: Path) -> None:
        whole = asked_for(self.name, tmp_path / "whole", [10])
        first = asked_for(self.name, tmp_path / "parts", [6], study := optuna.create_study())
        shutil.rmtree(tmp_path / "parts")
        assert first + asked_for(self.name, tmp_path / "parts", [10], study) == whole


class TestDdpg(AgentContract):
    name = "ddpg"


class TestTd3(AgentContract):
    name = "td3"


class TestSac(AgentContract):
    name = "sac"


def asked_for(
    name: str, folder: Path, stops: list[int], study: optuna.Study | None = None, text: str | None = None
) -> list[CompressionPolicy]:
    """The policies evaluated by searches that end at these numbers of trials, each with a new agent."""
    evaluator = SeparableEvaluator()
    study = study or optuna.create_study()
    for stop in stops:
        reports: list[TrialReport] = []
        # The same number is asked for each time, as by a user who stops the search.
        search(
            separable_problem(evaluator),
            study,
            find_engine(name, text or SETTINGS[name] + ",warmup=3"),
            trials=12,
            seed=0,
            deadline=None,
            stop=lambda reports=reports, stop=stop: bool(reports) and reports[-1].done >= stop,  # type: ignore[misc]
            on_trial=reports.append,
            folder=folder,
        )
    return evaluator.asked


def test_agents_of_several_seeds_take_turns_and_learn_from_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{QUICK},warmup=3,seeds=3"
    alone = asked_for("td3", tmp_path / "alone", [12])
    whole = asked_for("td3", tmp_path / "whole", [12], text=text)
    assert whole[:2] == alone[:2]  # the uniform policy and the solver's answer
    assert whole[2] != alone[2]  # the third one's turn
    assert asked_for("td3", tmp_path / "parts", [5, 12], text=text) == whole
    assert sorted(path.parent.name for path in (tmp_path / "whole").rglob("*.pt")) == ["0", "0", "1", "1", "2", "2"]


def test_from_a_truncated_state_it_goes_on_as_from_a_whole_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = asked_for("td3", tmp_path / "whole", [12])
    study = optuna.create_study()
    first = asked_for("td3", tmp_path / "parts", [6], study)
    newest = max((tmp_path / "parts").rglob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        second = asked_for("td3", tmp_path / "parts", [12], study)
    assert first + second == whole
    assert f"{newest.name} is damaged" in caplog.text


@pytest.mark.parametrize("change", [{"parameters": {}}, {"memory": {}}, {"updates": "x"}])
def test_a_state_that_is_none_of_ours_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    study = optuna.create_study()
    asked_for("td3", tmp_path, [4], study)
    for path in tmp_path.rglob("*.pt"):
        content = torch.load(path, weights_only=True)
        torch.save({**content, "learner": {**content["learner"], **change}}, path)
    with pytest.raises(RunError, match="An agent's state must be one that `automl` wrote"):
        asked_for("td3", tmp_path, [6], study)


def test_a_state_of_other_trials_is_not_used(tmp_path: Path) -> None:
    whole = asked_for("td3", tmp_path / "whole", [8])
    assert asked_for("td3", tmp_path / "whole", [8]) == whole  # another study: its trials are learned from the start


def test_other_settings_are_refused_when_a_search_goes_on(tmp_path: Path) -> None:
    study = optuna.create_study()
    asked_for("td3", tmp_path, [4], study)
    with pytest.raises(RunError, match=r"noise was 0\.2 and is 0\.4, hidden was 16 and is 24"):
        asked_for("td3", tmp_path, [12], study, f"{QUICK},hidden=24,noise=0.4,warmup=3")


def test_agents_that_correct_the_solver_begin_with_its_answer() -> None:
    problem = separable_problem(SeparableEvaluator())
    plain = problem.solved([0.0] * 8)
    for name, text in (("td3", QUICK), ("ddpg", "hidden=16,seeded=true")):
        evaluator = SeparableEvaluator()
        run_search(find_engine(name, text), evaluator, trials=2)
        assert evaluator.asked == [uniform_policy(problem), plain]


def test_an_agent_that_is_not_seeded_begins_without_the_solvers_answer() -> None:
    plain = separable_problem(SeparableEvaluator()).solved([0.0] * 8)
    for name, text in (("td3", "hidden=16,pretrain=0,seeded=false"), ("ddpg", "hidden=16")):
        evaluator = SeparableEvaluator()
        run_search(find_engine(name, text), evaluator, trials=2)
        assert evaluator.asked[1] != plain


def test_amcs_agent_begins_at_random_with_values_of_every_size() -> None:
    evaluator = SeparableEvaluator()
    run_search(find_engine("ddpg", "hidden=16,warmup=40"), evaluator, trials=30)
    widths = [policy.channels["block0"] for policy in evaluator.asked[1:]]
    assert len(set(widths)) >= 7  # of 8


def test_an_agent_learns_from_trials_that_others_proposed(tmp_path: Path) -> None:
    study = optuna.create_study()
    evaluator = SeparableEvaluator()
    for name, text, trials in (("random", None, 6), ("td3", QUICK, 9)):
        search(
            separable_problem(evaluator),
            study,
            find_engine(name, text),
            trials=trials,
            seed=0,
            deadline=None,
            stop=lambda: False,
            on_trial=lambda _: None,
            folder=tmp_path,
        )
    assert len({policy.digest() for policy in evaluator.asked}) == 9


def test_agents_of_one_seed_explore_differently() -> None:
    asked = {}
    for name in ("td3", "sac"):
        evaluator = SeparableEvaluator()
        run_search(find_engine(name, QUICK), evaluator, trials=4)
        asked[name] = evaluator.asked[2:]
    assert not set(map(CompressionPolicy.digest, asked["td3"])) & set(map(CompressionPolicy.digest, asked["sac"]))


def learned(text: str, trials: int, engines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Rewards of the episodes that a TD3 remembers after so many trials of each engine."""
    told: list[float] = []
    remember = Learner.remember

    def noted(self: Learner, trajectory: Trajectory, reward: float) -> None:
        told.append(reward)
        remember(self, trajectory, reward)

    monkeypatch.setattr(Learner, "remember", noted)
    study = optuna.create_study()
    for count, name in enumerate(engines, 1):
        settings = f"hidden=16,batch=32,{text}" if name == "td3" else None
        run_search(find_engine(name, settings), SeparableEvaluator(), trials=count * trials, study=study)
    return told


def test_an_agent_that_is_not_seeded_learns_from_its_own_trials_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last of the trials is evaluated, but there is nothing left to learn it for.
    assert len(learned("pretrain=0,seeded=false", 5, ("cma", "td3"), monkeypatch)) == 4
    assert len(learned("pretrain=0", 5, ("cma", "td3"), monkeypatch)) == 5 + 4
    assert len(learned("pretrain=0,seeded=false", 5, ("td3",), monkeypatch)) == 3  # not the uniform policy


def test_a_policy_that_no_correction_leads_to_is_worth_what_the_table_says_of_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, _ = learned("pretrain=0", 3, ("td3",), monkeypatch)  # the uniform policy and the solver's plain answer
    problem = separable_problem(evaluator := SeparableEvaluator())
    uniform = uniform_policy(problem)
    near = problem.solved(matching(problem, uniform).tolist())
    assert near != uniform
    losses = {
        name: dict(zip(WIDTHS, row, strict=True)) for name, row in zip(SENSITIVITY, wrong_table().losses, strict=True)
    }
    by_table = [sum(losses[name][policy.channels[name]] for name in SENSITIVITY) for policy in (near, uniform)]
    expected = sum(losses[name][problem.solved([0.0] * 8).channels[name]] for name in SENSITIVITY)
    guessed = evaluator(uniform).divergence * by_table[0] / by_table[1]
    assert told == pytest.approx(-np.log(guessed / expected), rel=1e-3)
    # A reward that the table knows nothing of is not guessed.
    assert len(learned("pretrain=0,reward=accuracy", 3, ("td3",), monkeypatch)) == 1


def test_nothing_is_trained_before_the_warm_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    monkeypatch.setattr(Learner, "train_on_an_episode", lambda self: rounds.append(self.rounds))
    run_search(find_engine("ddpg", "hidden=16,warmup=6"), SeparableEvaluator(), trials=10)
    assert len(rounds) == 4  # after trials 6 to 9; what follows the tenth is nobody's


def test_widths_and_bits_are_learned_together(tmp_path: Path) -> None:
    for actions in ("residual", "direct"):
        evaluator = JointEvaluator()
        problem = joint_problem(evaluator)
        search(
            problem,
            optuna.create_study(),
            find_engine("td3", f"{QUICK},actions={actions}"),
            trials=6,
            seed=0,
            deadline=None,
            stop=lambda: False,
            on_trial=lambda _: None,
        )
        assert len(evaluator.asked) == 6
        for policy in evaluator.asked:
            assert problem.budget.satisfied_by(problem.cost_model(policy), problem.dense)


@pytest.mark.parametrize("chained", [0.0, 0.7])
@pytest.mark.parametrize("name", LEARNING)
def test_what_an_agent_proposes_comes_near_the_known_optimum(name: str, chained: float) -> None:
    assert proposed_at_last(name, chained) <= NEAR[name]


@pytest.mark.parametrize("name", LEARNING)
def test_what_an_agent_proposes_that_sees_nothing_does_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blinded(monkeypatch)
    assert proposed_at_last(name, 0.0) > NEAR[name]


def proposed_at_last(name: str, chained: float) -> float:
    """The mean divergence of the last ten of a search's policies, over the least there is."""
    evaluator = SeparableEvaluator(chained, blocks=SIXTEEN)
    reports: list[TrialReport] = []
    problem = separable_problem(evaluator, SIXTEEN)
    search_in(problem, find_engine(name, LEARNING[name]), trials=EPISODES[name], reports=reports)
    found = np.mean([report.evaluation.divergence for report in reports[-10:]])
    return float(found / least_divergence(chained, SIXTEEN))


def blinded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen comes in another order each time."""
    see, generator = Observer.__call__, np.random.default_rng(0)

    def shuffled(self: Observer, episode: object) -> Observation:
        found: Observation = generator.permutation(see(self, episode))  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(Observer, "__call__", shuffled)
