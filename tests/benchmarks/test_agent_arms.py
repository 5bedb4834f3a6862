from dataclasses import replace

import pytest

from automl.core.errors import InputError
from automl.search.agent_settings import parse_settings
from benchmarks.agent_arms import OURS, RELEASED, REPAIRED, arms, find_arms


def test_every_arm_is_built_under_its_name() -> None:
    names = [arm.name for arm in arms(quick=False)]
    assert names[:2] == [RELEASED, REPAIRED]
    assert set(names) == {RELEASED, REPAIRED, *OURS, "solver", "cma", "tpe", "random"}
    assert [arm.build().name for arm in find_arms("AMC as released,AMC repaired,sac from scratch", False)] == [
        RELEASED,
        "ddpg",
        "sac",
    ]


def test_our_ddpg_differs_from_our_td3_in_the_algorithm_alone() -> None:
    (ddpg,) = find_arms("ddpg", False)
    td3 = parse_settings("td3", None)
    assert parse_settings("ddpg", ddpg.text) == replace(td3, tau=0.01)  # AMC's target networks are slower


def test_from_scratch_nothing_but_the_pretraining_and_the_seeding_goes() -> None:
    for name in ("td3", "sac", "ddpg"):
        whole, scratch = (arm.facts()["settings"] for arm in find_arms(f"{name},{name} from scratch", False))
        assert {key for key in whole if whole[key] != scratch[key]} == {"pretrain", "seeded"}


def test_a_result_depends_on_every_setting_and_amcs_warm_up_is_100_episodes() -> None:
    released, repaired, solver = find_arms("AMC as released,AMC repaired,solver", False)
    assert released.facts()["settings"] == repaired.facts()["settings"]
    assert released.facts()["settings"]["warmup"] == 100
    assert released.facts() != repaired.facts()
    assert solver.facts() == {"arm": "solver", "engine": "solver", "settings": None}
    assert find_arms(RELEASED, True)[0].facts()["settings"]["warmup"] == 3


def test_the_tables_seconds_count_for_those_that_look_at_it() -> None:
    assert [arm.name for arm in arms(quick=False) if not arm.knows_the_table] == [RELEASED, "random"]


def test_an_unknown_arm_is_refused() -> None:
    with pytest.raises(InputError, match=r"AMC as released, AMC repaired, td3.*but got 'ppo'"):
        find_arms("solver, ppo", False)
    assert [arm.name for arm in find_arms(None, True)] == [RELEASED, REPAIRED, "td3", "solver"]
