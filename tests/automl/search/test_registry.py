import pytest

from automl.core.errors import InputError
from automl.search.registry import AGENTS, ENGINES, find_engine


@pytest.mark.parametrize("name", ["solver", "cma", "tpe", "gp", "evolution", "uniform", "random"])
def test_an_engine_is_found_by_its_name(name: str) -> None:
    assert find_engine(name).name == name


def test_auto_is_the_solver_and_says_so() -> None:
    assert find_engine("auto").name == "solver"
    assert "solver" in ENGINES["auto"].description


def test_an_unknown_engine_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"'tep' is not\. Did you mean tpe"):
        find_engine("tep")


def test_an_engine_like_none_is_refused_with_all_names() -> None:
    with pytest.raises(InputError, match=r"There are: auto, solver, .* uniform, ddpg, td3, sac"):
        find_engine("quantum")


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_found_with_its_settings(name: str) -> None:
    assert find_engine(name, "noise=0.3").name == name


def test_settings_of_an_agent_are_not_for_other_engines() -> None:
    with pytest.raises(InputError, match="is for the engines ddpg, td3, sac, but the engine is 'cma'"):
        find_engine("cma", "noise=0.3")
