from dataclasses import replace

from automl.core.graph import Extent
from automl.core.knob import Knob
from envs.decisions import decisions
from tests.branched import branched_graph
from tests.contracts.joint import JointEvaluator, joint_problem
from tests.contracts.problem import SENSITIVITY, SeparableEvaluator, separable_problem
from tests.envs.problems import branched_problem


def test_widths_alone_are_one_entry_per_group_in_the_order_of_the_layers() -> None:
    problem = separable_problem(SeparableEvaluator())
    steps = decisions(problem.graph, problem.knobs)
    assert [step.layer for step in steps] == list(SENSITIVITY)
    assert [step.knobs for step in steps] == [(k,) for k in range(8)]


def test_a_group_that_takes_others_along_is_asked_before_them() -> None:
    problem = branched_problem()
    steps = decisions(problem.graph, problem.knobs)
    assert [problem.knobs[step.knobs[0] or 0].target for step in steps] == ["s", "b", "a"]


def test_widths_and_bits_of_a_layer_are_one_step() -> None:
    problem = joint_problem(JointEvaluator())
    steps = decisions(problem.graph, problem.knobs)
    assert [step.layer for step in steps] == [layer.name for layer in problem.graph.layers]
    first, second = ([None if k is None else problem.knobs[k].name for k in step.knobs] for step in steps[:2])
    assert first == ["block0", "block0:weight", "block0:input"]
    assert second == [None, "block0.out:weight", "block0.out:input"]  # its outputs are not a group


def test_every_knob_is_asked_once_and_tied_inputs_with_the_first_layer() -> None:
    graph = branched_graph()
    knobs = (
        Knob("s", "channels", (8, 16)),
        *(Knob(name, "weight_bits", (4, 8)) for name in ("s", "a", "b", "end", "fc")),
        Knob("s", "input_bits", (8,)),
        Knob("a", "input_bits", (4, 8), tied=("fc",)),
        *(Knob(name, "input_bits", (4, 8)) for name in ("b", "end")),
    )
    steps = decisions(graph, knobs)
    asked = [k for step in steps for k in step.knobs if k is not None]
    assert sorted(asked) == list(range(len(knobs)))
    assert {step.layer: step.knobs for step in steps}["a"] == (None, 2, 7)
    assert {step.layer: step.knobs for step in steps}["fc"] == (None, 5, None)


def test_a_layer_whose_outputs_are_two_groups_takes_two_steps() -> None:
    graph = branched_graph()
    groups = (replace(graph.groups[0], name="s1"), replace(graph.groups[0], name="s2"), *graph.groups[1:])
    both = replace(graph.layers[0], outputs=Extent(0, (("s1", 1), ("s2", 1))))
    graph = replace(graph, groups=groups, layers=(both, *graph.layers[1:]))
    knobs = (Knob("s1", "channels", (8, 16)), Knob("s2", "channels", (8, 16)))
    assert [(step.layer, step.knobs) for step in decisions(graph, knobs)] == [("s", (0,)), ("s", (1,))]
