import optuna
from optuna.samplers import RandomSampler, TPESampler

from automl.search.reseeding import ReseedingSampler


def proposals(study: optuna.Study, count: int) -> list[float]:
    found = []
    for _ in range(count):
        trial = study.ask()
        found.append(trial.suggest_float("x", 0.0, 1.0))
        study.tell(trial, (found[-1] - 0.3) ** 2)
    return found


def tpe(seed: int) -> TPESampler:
    return TPESampler(seed=seed, n_startup_trials=4, multivariate=True)


def test_what_is_proposed_follows_from_the_seed_and_the_trials_before() -> None:
    whole = optuna.create_study(sampler=ReseedingSampler(tpe, 7))
    expected = proposals(whole, 12)
    halved = optuna.create_study(sampler=ReseedingSampler(tpe, 7))
    first = proposals(halved, 6)
    halved.sampler = ReseedingSampler(tpe, 7)  # as a process that goes on does
    assert first + proposals(halved, 6) == expected


def test_proposals_differ_from_trial_to_trial_and_from_seed_to_seed() -> None:
    found = [
        proposals(optuna.create_study(sampler=ReseedingSampler(lambda s: RandomSampler(seed=s), seed)), 5)
        for seed in (0, 1)
    ]
    assert len({*found[0], *found[1]}) == 10
