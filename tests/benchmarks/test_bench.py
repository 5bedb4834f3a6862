import pytest

from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject, open_subject
from automl.search.registry import find_engine
from automl.store.config import RunConfig
from benchmarks import bench
from benchmarks.bench import Bench, searched
from benchmarks.nets import Net
from tests.contracts.problem import SeparableEvaluator, separable_problem

NET = Net("tiny", "tests.benchmarks.test_peers:tiny", "digits")


def opened(net: Net, seed: int, talk: Conversation) -> Subject:
    return open_subject(RunConfig(net.model, net.data, ("1flops",), seed=seed, limit=300))


def closed(net: Net, seed: int, talk: Conversation) -> Subject:
    raise AssertionError("nothing was asked for")


def test_engines_share_table_and_images_and_each_has_a_race_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "open_net", closed)
    made = Bench(NET, "0.5flops", 0)
    monkeypatch.setattr(bench, "open_net", opened)
    first, second = made.problem(), made.problem()
    assert first.sensitivity is second.sensitivity
    assert first.evaluate is not second.evaluate
    assert str(first.budget) == "0.5flops"
    assert made.table_s > 0
    one, other = (searched(problem, find_engine("random"), 3, 0) for problem in (first, second))
    assert [each.report.evaluation.divergence for each in one] == [each.report.evaluation.divergence for each in other]


def test_every_trial_is_there_in_order_with_the_seconds_until_then() -> None:
    evaluator = SeparableEvaluator()
    found = searched(separable_problem(evaluator), find_engine("random"), 5, 0)
    assert [each.report.evaluation.policy for each in found] == evaluator.asked
    seconds = [each.seconds for each in found]
    assert seconds == sorted(seconds)
