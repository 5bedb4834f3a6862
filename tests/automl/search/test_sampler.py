from typing import ClassVar

import pytest

from automl.search.engine import Engine
from automl.search.registry import find_engine
from tests.contracts.engine import EngineContract, LearningEngineContract, run_search
from tests.contracts.problem import SeparableEvaluator, least_divergence


class TestUniform(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("uniform")

    def test_it_ends_after_one_trial(self, engine: Engine) -> None:
        evaluator = SeparableEvaluator()
        run_search(engine, evaluator, trials=20)
        assert len(evaluator.asked) == 1


class TestRandom(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("random")


class TestTpe(LearningEngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("tpe")


class TestGp(LearningEngineContract):
    trials: ClassVar[int] = 20

    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("gp")

    def test_it_comes_within_a_tenth_of_the_known_optimum(self, engine: Engine) -> None:
        # Uniform: each block keeps half, so a quarter of the summed sensitivity: 15.93 / 4 = 3.98.
        best = run_search(engine, SeparableEvaluator(), trials=40)
        assert least_divergence() <= best.divergence <= 1.1 * least_divergence()
