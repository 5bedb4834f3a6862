from automl.core.bits import BitWidths
from automl.core.knob import Knob, policy_of, values_of
from automl.core.policy import CompressionPolicy

KNOBS = (
    Knob("a", "channels", (8, 16)),
    Knob("a", "weight_bits", (4, 8)),
    Knob("b", "weight_bits", (4, 8)),
    Knob("a", "input_bits", (4, 8), tied=("b",)),
)
POLICY = CompressionPolicy({"a": 8}, {"a": BitWidths(4, 8), "b": BitWidths(8, 8)})


def test_a_policy_is_one_value_per_knob_and_back() -> None:
    assert policy_of(KNOBS, [8, 4, 8, 8]) == POLICY
    assert values_of(KNOBS, POLICY) == {"a": 8, "a:weight": 4, "b:weight": 8, "a:input": 8}


def test_the_inputs_of_tied_layers_have_one_value() -> None:
    bits = policy_of(KNOBS, [8, 8, 8, 4]).bits
    assert bits["a"].activation == bits["b"].activation == 4


def test_a_layer_without_bits_has_no_value() -> None:
    gone = CompressionPolicy({"a": 8}, {"b": BitWidths(4, 4)})
    assert values_of(KNOBS, gone) == {"a": 8, "b:weight": 4, "a:input": 4}
