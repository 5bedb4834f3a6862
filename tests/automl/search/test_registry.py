import pytest

from automl.core.errors import InputError
from automl.search.registry import COMING, ENGINES, find_engine


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
    with pytest.raises(InputError, match="There are: auto, solver, cma, tpe, gp, evolution, random, uniform"):
        find_engine("quantum")


@pytest.mark.parametrize("name", COMING)
def test_an_engine_of_a_later_version_is_refused_as_coming(name: str) -> None:
    with pytest.raises(InputError, match="is coming"):
        find_engine(name)
