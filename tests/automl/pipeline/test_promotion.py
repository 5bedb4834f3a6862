import json
from pathlib import Path

from automl.core.cost import Cost
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.pipeline.promotion import _read, candidates
from automl.pipeline.searching import Found

COST = Cost(macs=1, params=1, size_bytes=4, bops=64)


def policy(width: int) -> CompressionPolicy:
    return CompressionPolicy({"features": width})


def found(divergences: dict[int, float], solved: int) -> Found:
    evaluations = tuple(
        Evaluation(policy(width), COST, divergence, 0.5, (0.4, 0.6), 100, 0.1)
        for width, divergence in divergences.items()
    )
    return Found(policy(1), policy(solved), evaluations, None, len(evaluations), 1.0)


def test_the_best_few_are_candidates_the_best_one_first() -> None:
    chosen = candidates(found({1: 0.5, 2: 0.1, 3: 0.3, 4: 0.2, 5: 0.4}, solved=2))
    assert chosen == [policy(width) for width in (2, 4, 3)]


def test_the_solvers_plain_answer_is_always_among_them() -> None:
    chosen = candidates(found({1: 0.5, 2: 0.1, 3: 0.3, 4: 0.2, 5: 0.4}, solved=1))
    assert chosen == [policy(width) for width in (2, 4, 1)]


def test_a_policy_that_was_evaluated_twice_is_one_candidate() -> None:
    twice = found({2: 0.1, 3: 0.3}, solved=2)
    assert candidates(Found(policy(1), policy(2), twice.evaluations * 2, None, 4, 1.0)) == [policy(2), policy(3)]


def test_a_search_of_one_trial_has_one_candidate() -> None:
    assert candidates(found({1: 0.5}, solved=2)) == [policy(1)]


def test_an_earlier_comparison_counts_where_facts_and_candidates_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "promotion.json"
    path.write_text(json.dumps({"facts": "a", "divergence": {"x": 0.1, "y": 0.2}}))
    assert _read(path, "a", ["x", "y"]) == {"x": 0.1, "y": 0.2}
    assert _read(path, "b", ["x", "y"]) is None
    assert _read(path, "a", ["x", "z"]) is None
    path.write_text("{damaged")
    assert _read(path, "a", ["x", "y"]) is None
    assert _read(tmp_path / "absent.json", "a", ["x", "y"]) is None
