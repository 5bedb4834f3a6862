from typing import ClassVar

import pytest

from automl.search.engine import Engine
from automl.search.registry import find_engine
from tests.contracts.engine import EngineContract, LearningEngineContract, run_search
from tests.contracts.problem import SeparableEvaluator


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


class TestSolver(LearningEngineContract):
    within: ClassVar[float] = 1.03

    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("solver")


class TestEvolution(LearningEngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("evolution")


class TestCma(LearningEngineContract):
    within: ClassVar[float] = 1.2

    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("cma")


class TestTpe(LearningEngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("tpe")


class TestGp(LearningEngineContract):
    trials: ClassVar[int] = 20
    within: ClassVar[float] = 1.2

    @pytest.fixture
    def engine(self) -> Engine:
        return find_engine("gp")
