from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState

from automl.core.policy import CompressionPolicy
from automl.store.address import StudyAddress
from automl.store.ledger import LOST, MOST_LOST, WORKER, Ledger, Proposal, completed_by
from automl.store.patience import Patience
from automl.store.study import open_study
from automl.store.trials import FAILURE, GIVEN, completed, policy_of_trial
from tests.automl.store.test_trials import EVALUATION, POLICY
from tests.contracts.trials import ledger, proposal

OTHER = CompressionPolicy({"a.conv": 4})


@pytest.fixture(params=["memory", "sqlite"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[optuna.Study]:
    if request.param == "memory":
        yield optuna.create_study()
        return
    with open_study(StudyAddress.of_file(tmp_path / "study.db")) as opened:
        yield opened


def with_parameters(policy: CompressionPolicy = POLICY, *, given: bool = False) -> Proposal:
    ranges = {"x": FloatDistribution(-2.0, 2.0), "y": FloatDistribution(0.0, 1.0)}
    return Proposal(policy, {"x": 0.1, "y": 0.7}, ranges, "cma", given)


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.get_trials()]


def test_a_trial_is_written_whole_before_it_is_evaluated(study: optuna.Study) -> None:
    assert ledger(study).begin(with_parameters()) == 0
    (trial,) = study.get_trials()
    assert trial.state is TrialState.RUNNING
    assert trial.params == {"x": 0.1, "y": 0.7}
    assert trial.distributions == with_parameters().distributions
    assert policy_of_trial(trial) == POLICY
    assert (trial.user_attrs[WORKER], trial.user_attrs["engine"], trial.user_attrs[GIVEN]) == ("worker", "cma", False)
    assert trial.datetime_start is not None


def test_a_completed_trial_has_its_value_and_its_evaluation(study: optuna.Study) -> None:
    own = ledger(study)
    assert own.complete(own.begin(with_parameters()), EVALUATION, "new")
    assert completed(study) == [EVALUATION]
    assert study.best_trial.params == {"x": 0.1, "y": 0.7}
    assert study.best_value == EVALUATION.divergence


def test_a_failed_trial_has_its_reason_and_a_withdrawn_one_is_no_failure(study: optuna.Study) -> None:
    own = ledger(study)
    assert own.fail(own.begin(with_parameters()), "RuntimeError: out of memory")
    assert own.withdraw(own.begin(with_parameters()))
    assert states(study) == [TrialState.FAIL, TrialState.PRUNED]
    assert study.get_trials()[0].user_attrs[FAILURE] == "RuntimeError: out of memory"


def test_what_it_wrote_itself_need_not_be_read_again(study: optuna.Study) -> None:
    own = ledger(study)
    for _ in range(2):
        own.complete(own.begin(with_parameters()), EVALUATION, "new")
        own.begin(with_parameters(OTHER))
        alone, read = own.trials(alone=True), own.trials()
        assert list(map(facts, alone)) == list(map(facts, read))


def facts(trial: FrozenTrial) -> tuple[object, ...]:
    return trial.number, trial.state, trial.value, trial.params, trial.user_attrs


def test_a_queued_trial_goes_to_the_first_who_claims_it(study: optuna.Study) -> None:
    first, second = ledger(study, "first"), ledger(study, "second")
    first.queue(with_parameters(given=True))
    seen_by_both = first.trials()
    claimed = second.claim(seen_by_both)
    assert claimed is not None
    assert (claimed.number, claimed.params) == (0, {"x": 0.1, "y": 0.7})
    assert first.claim(seen_by_both) is None
    assert study.get_trials()[0].user_attrs[GIVEN] is True
    assert second.complete(0, EVALUATION, "new")
    assert first.claim(seen_by_both) is None


def test_what_a_lost_worker_began_is_the_next_to_be_claimed_with_equal_parameters(study: optuna.Study) -> None:
    lost, living = ledger(study, "lost"), ledger(study, "living")
    lost.begin(with_parameters())
    before = study.get_trials()[0]
    assert living.reclaim(living.trials(), set()) == 0
    assert living.reclaim(living.trials(), {"lost"}) == 1
    assert states(study) == [TrialState.WAITING]
    claimed = living.claim(living.trials())
    assert claimed is not None
    assert (claimed.number, claimed.params, policy_of_trial(claimed)) == (0, before.params, POLICY)
    assert study.get_trials()[0].user_attrs[WORKER] == "living"


def test_with_others_about_a_trial_must_have_looked_lost_for_a_while(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("automl.store.ledger.time.monotonic", lambda: now_s)
    lost, living = ledger(study, "lost"), ledger(study, "living")
    lost.begin(with_parameters())
    assert living.reclaim(living.trials(), {"lost"}, after_s=5.0) == 0
    now_s += 4.9
    assert living.reclaim(living.trials(), {"lost"}, after_s=5.0) == 0
    now_s += 0.1
    assert living.reclaim(living.trials(), {"lost"}, after_s=5.0) == 1


def test_a_trial_that_someone_takes_does_not_look_lost_any_more(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("automl.store.ledger.time.monotonic", lambda: now_s)
    lost, one, two = ledger(study, "lost"), ledger(study, "one"), ledger(study, "two")
    lost.begin(with_parameters())
    assert one.reclaim(one.trials(), {"lost"}, after_s=5.0) == 0
    two.reclaim(two.trials(), {"lost"})
    assert two.claim(two.trials()) is not None
    now_s += 10.0
    assert one.reclaim(one.trials(), {"lost"}, after_s=5.0) == 0


def test_what_a_worker_left_between_two_trials_is_reclaimed_by_itself(study: optuna.Study) -> None:
    own = ledger(study)
    own.begin(with_parameters())  # the connection was lost behind the commit
    assert own.reclaim(own.trials(), set()) == 1
    assert states(study) == [TrialState.WAITING]


def test_a_trial_is_ended_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_study(StudyAddress.of_file(tmp_path / "study.db")) as study:
        number = ledger(study).begin(with_parameters())
        with monkeypatch.context() as killed:
            killed.setattr("automl.store.bulk._write_facts", _stopped)
            with pytest.raises(KeyboardInterrupt):
                ledger(study).complete(number, EVALUATION, "new")
        (trial,) = study.get_trials()
    assert (trial.state, trial.datetime_complete) == (TrialState.RUNNING, None)
    assert trial.user_attrs.keys() == {"policy", "digest", "engine", "given", "token", "worker"}


def _stopped(*_: object, **__: object) -> bool:
    raise KeyboardInterrupt


def test_a_policy_that_ends_its_workers_is_given_up(study: optuna.Study) -> None:
    for number in range(MOST_LOST):
        worker = ledger(study, f"worker {number}")
        if number == 0:
            worker.begin(with_parameters())
        else:
            assert worker.claim(worker.trials()) is not None
        ledger(study).reclaim(worker.trials(), {f"worker {number}"})
    (trial,) = study.get_trials()
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs[FAILURE] == "The process was killed 3 times while it evaluated this policy."
    assert trial.user_attrs[LOST] == 2


def test_a_running_trial_without_a_policy_cannot_be_tried_again(study: optuna.Study) -> None:
    study.ask()  # as another program leaves it
    ledger(study).reclaim(study.get_trials(), set())
    (trial,) = study.get_trials()
    assert trial.state is TrialState.FAIL
    assert "before it had proposed" in trial.user_attrs[FAILURE]


def test_of_two_who_evaluate_one_trial_the_first_counts(study: optuna.Study) -> None:
    slow, quick = ledger(study, "slow"), ledger(study, "quick")
    number = slow.begin(with_parameters())
    quick.reclaim(quick.trials(), {"slow"})  # it was silent, but lives
    assert quick.claim(quick.trials()) is not None
    assert slow.complete(number, EVALUATION, "new")
    assert not quick.complete(number, EVALUATION, "new")
    assert not quick.fail(number, "too late")
    assert completed(study) == [EVALUATION]


@pytest.mark.parametrize("behind", [False, True], ids=["before the commit", "behind the commit"])
def test_a_lost_connection_makes_no_trial_twice(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    own = Ledger(study, "worker", Patience(60.0))
    lost = iter([True, False, True, False])

    def unreliable(work: Callable[..., Any]) -> Callable[..., Any]:
        def doing(*args: Any, **named: Any) -> Any:
            if not next(lost):
                return work(*args, **named)
            if behind:
                work(*args, **named)
            raise StorageInternalError("the server closed the connection")

        return doing

    monkeypatch.setattr("automl.store.patience.time.sleep", lambda _: None)
    for name in ("create_new_trial", "set_trial_state_values"):
        monkeypatch.setattr(study._storage, name, unreliable(getattr(study._storage, name)))
    assert own.complete(own.begin(with_parameters()), EVALUATION, "new")
    assert states(study) == [TrialState.COMPLETE]


def test_sqlite_reads_a_trial_as_optuna_itself_would_have_written_it(tmp_path: Path) -> None:
    found = []
    for name, wrapped in (("ours", True), ("optuna's", False)):
        url = f"sqlite:///{tmp_path}/{name.replace(chr(39), '')}.db"
        if wrapped:
            with open_study(StudyAddress.parse(url, "search")) as study:
                ledger(study).begin(with_parameters())
        else:
            study = optuna.create_study(storage=url, study_name="search")
            ledger(study).begin(with_parameters())
        (trial,) = optuna.load_study(study_name="search", storage=url).get_trials()
        trial.user_attrs.pop("token")
        found.append((trial.number, trial.state, trial.params, trial.distributions, trial.user_attrs))
    assert found[0] == found[1]


def test_numbers_follow_each_other(study: optuna.Study) -> None:
    one, two = ledger(study, "one"), ledger(study, "two")
    assert [each.begin(proposal(POLICY)) for each in (one, two, one, two)] == [0, 1, 2, 3]


def test_what_failed_or_was_withdrawn_counts_for_nobody(study: optuna.Study) -> None:
    own, other = ledger(study, "own"), ledger(study, "other")
    own.complete(own.begin(with_parameters()), EVALUATION, "new")
    own.fail(own.begin(with_parameters()), "why")
    own.withdraw(own.begin(with_parameters()))
    other.begin(with_parameters())
    assert (completed_by(study, "own"), completed_by(study, "other")) == (1, 0)
