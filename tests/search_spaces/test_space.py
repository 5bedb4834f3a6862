import numpy as np
import pytest

from automl.core.errors import InputError
from automl.core.policy import checked_policy
from search_spaces.channels import channel_choices
from search_spaces.rules import WidthRule, default_rule
from search_spaces.space import channel_space
from tests.branched import branched_graph
from tests.tiny import tiny_graph


@pytest.mark.parametrize(
    ("channels", "multiple", "least_ratio", "choices"),
    [
        (32, 8, 0.0, (8, 16, 24, 32)),
        (30, 8, 0.0, (8, 16, 24, 30)),
        (8, 8, 0.0, (8,)),
        (4, 8, 0.0, (4,)),
        (32, 8, 0.5, (16, 24, 32)),
        (32, 8, 0.55, (24, 32)),
        (5, 1, 0.0, (1, 2, 3, 4, 5)),
    ],
)
def test_choices_are_multiples_from_the_floor_to_the_full_width(
    channels: int, multiple: int, least_ratio: float, choices: tuple[int, ...]
) -> None:
    assert channel_choices(channels, WidthRule(multiple, least_ratio)) == choices


def test_one_knob_per_prunable_group() -> None:
    space = channel_space(tiny_graph(), WidthRule(8))
    assert [(knob.target, knob.choices) for knob in space.knobs] == [("a", (8, 16)), ("b", (8, 16, 24, 32))]
    assert space.log10_size == pytest.approx(np.log10(8))
    assert space.smallest.channels == {"a": 8, "b": 8}


def test_samples_are_allowed_and_follow_the_seed() -> None:
    space = channel_space(tiny_graph(), WidthRule(8))
    first, second = (space.sample(np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert all(first.channels[knob.target] in knob.choices for knob in space.knobs)


def test_narrow_networks_round_finer() -> None:
    assert default_rule(tiny_graph()).multiple == 4


@pytest.mark.parametrize(("multiple", "least_ratio"), [(0, 0.0), (8, -0.1), (8, 1.1)])
def test_a_rule_out_of_range_is_refused(multiple: int, least_ratio: float) -> None:
    with pytest.raises(InputError):
        WidthRule(multiple, least_ratio)


def test_a_branch_may_go_unless_a_share_of_it_must_stay() -> None:
    assert channel_choices(16, WidthRule(8), droppable=True) == (0, 8, 16)
    assert channel_choices(16, WidthRule(8, 0.1), droppable=True) == (8, 16)


def test_what_goes_with_a_branch_has_no_choice_of_its_own() -> None:
    space = channel_space(branched_graph(), WidthRule(4))
    assert {knob.target: knob.choices for knob in space.knobs} == {"s": (4, 8, 12, 16), "a": (4, 8), "b": (0, 4, 8)}
    assert space.smallest.channels == {"s": 4, "a": 0, "b": 0}
    assert space.narrowest.channels == {"s": 4, "a": 4, "b": 4}
    assert space.log10_size == pytest.approx(np.log10(4 * (2 * 2 + 1)))


def test_samples_drop_whole_branches() -> None:
    graph = branched_graph()
    space = channel_space(graph, WidthRule(4))
    generator = np.random.default_rng(0)
    samples = [space.sample(generator) for _ in range(200)]
    assert all(checked_policy(graph, sample) == sample for sample in samples)
    assert len(set(samples)) == 20
