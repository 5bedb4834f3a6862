import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from automl.search.mirror import Mirror

RANGE = FloatDistribution(0.0, 1.0)


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(storage=InMemoryStorage())


def add(study: optuna.Study, state: TrialState, x: float) -> None:
    value = x if state is TrialState.COMPLETE else None
    study.add_trial(
        create_trial(state=state, value=value, params={"x": x}, distributions={"x": RANGE}, user_attrs={"fact": x})
    )


def test_it_holds_what_the_study_holds(study: optuna.Study) -> None:
    for state in (TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING):
        add(study, state, 0.25)
    mirror = Mirror(RandomSampler())
    mirror.follow(study.trials)
    mirror.follow(study.trials)
    copies = mirror.study.trials
    assert [copy.state for copy in copies] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING]
    assert [(copy.params, copy.user_attrs) for copy in copies] == [({"x": 0.25}, {"fact": 0.25})] * 3
    assert copies[0].value == 0.25


def test_a_waiting_trial_counts_as_running_and_ends_where_the_original_does(study: optuna.Study) -> None:
    add(study, TrialState.WAITING, 0.5)
    mirror = Mirror(RandomSampler())
    mirror.follow(study.trials)
    assert mirror.study.trials[0].state is TrialState.RUNNING
    study.ask()
    study.tell(0, 3.0)
    mirror.follow(study.trials)
    assert (mirror.study.trials[0].state, mirror.study.trials[0].value) == (TrialState.COMPLETE, 3.0)


def test_a_withdrawn_trial_teaches_nothing(study: optuna.Study) -> None:
    add(study, TrialState.PRUNED, 0.5)
    mirror = Mirror(RandomSampler())
    mirror.follow(study.trials)
    assert mirror.study.trials[0].state is TrialState.FAIL


def test_what_was_asked_stands_for_the_trial_that_came_of_it(study: optuna.Study) -> None:
    mirror = Mirror(RandomSampler())
    asked = mirror.ask()
    asked.suggest_float("x", 0.0, 1.0)
    add(study, TrialState.RUNNING, 0.1)  # another worker was faster
    add(study, TrialState.RUNNING, asked.params["x"])
    mirror.is_trial(asked, 1)
    mirror.follow(study.trials)
    study.tell(1, 2.0)
    mirror.follow(study.trials)
    copies = mirror.study.trials
    assert [copy.state for copy in copies] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert copies[0].params == asked.params
    assert copies[0].user_attrs == {"fact": asked.params["x"]}
