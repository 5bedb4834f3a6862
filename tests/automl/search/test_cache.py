from automl.core.policy import CompressionPolicy
from automl.search.cache import EvaluationCache
from tests.contracts.problem import SENSITIVITY, SeparableEvaluator


def policy(channels: int) -> CompressionPolicy:
    return CompressionPolicy(dict.fromkeys(SENSITIVITY, channels))


def test_equal_policies_are_evaluated_once() -> None:
    evaluator = SeparableEvaluator()
    cache = EvaluationCache(evaluator)
    first, first_known = cache(policy(8))
    second, second_known = cache(CompressionPolicy(dict.fromkeys(reversed(SENSITIVITY), 8)))
    assert len(evaluator.asked) == 1
    assert (first_known, second_known) == (False, True)
    assert second.divergence == first.divergence


def test_a_remembered_evaluation_took_no_time() -> None:
    cache = EvaluationCache(SeparableEvaluator())
    assert cache(policy(8))[0].seconds == 0.01
    assert cache(policy(8))[0].seconds == 0.0


def test_the_evaluations_of_an_earlier_session_are_known() -> None:
    evaluator = SeparableEvaluator()
    earlier = evaluator(policy(8))
    evaluator.asked.clear()
    cache = EvaluationCache(evaluator)
    cache.learn(earlier)
    assert policy(8) in cache
    assert policy(12) not in cache
    assert cache(policy(8))[0].policy == earlier.policy
    assert evaluator.asked == []
