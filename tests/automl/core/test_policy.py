import pytest

from automl.core.bits import BitWidths
from automl.core.errors import PolicyError
from automl.core.policy import CompressionPolicy, checked_policy, dense_policy, with_dead_groups
from tests.branched import branched_graph
from tests.tiny import tiny_graph


def test_the_digest_does_not_depend_on_the_order_of_writing() -> None:
    first = CompressionPolicy({"a": 8, "b": 16})
    second = CompressionPolicy({"b": 16, "a": 8})
    assert first == second
    assert first.digest() == second.digest()
    assert hash(first) == hash(second)


def test_the_digest_tells_widths_and_bits_apart() -> None:
    policies = [
        CompressionPolicy({"a": 8}),
        CompressionPolicy({"a": 9}),
        CompressionPolicy({"b": 8}),
        CompressionPolicy({"a": 8}, {"a": BitWidths(4, 8)}),
    ]
    assert len({policy.digest() for policy in policies}) == 4


def test_an_absent_group_is_a_whole_group() -> None:
    assert checked_policy(tiny_graph(), CompressionPolicy({"a": 16})) == dense_policy(tiny_graph())


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ({"nowhere": 4}, "'nowhere' is not"),
        ({"a": 0}, "1 to 16 channels"),
        ({"a": 17}, "1 to 16 channels"),
        ({"fc": 5}, "class logits"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(channels: dict[str, int], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        checked_policy(tiny_graph(), CompressionPolicy(channels))


def test_a_dropped_branch_takes_along_what_only_it_reads() -> None:
    dropped = CompressionPolicy({"s": 12, "a": 0, "b": 0})
    for channels in ({"s": 12, "b": 0}, {"s": 12, "a": 0, "b": 0}):
        assert checked_policy(branched_graph(), CompressionPolicy(channels)) == dropped
    assert with_dead_groups(branched_graph(), {"s": 12, "a": 8, "b": 0}) == dropped.channels
    assert with_dead_groups(branched_graph(), {"s": 12, "a": 8}) == {"s": 12, "a": 8}


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ({"s": 0}, "1 to 16 channels of 's', but it says 0. Only the inner channels of a branch"),
        ({"b": -1}, "0 to 8 channels of 'b'"),
        ({"a": 0}, "'a' must be 0 exactly when 'b' is 0, .* says 0 and 8. Drop both, or neither"),
        ({"a": 0, "b": 4}, "says 0 and 4"),
        ({"a": 4, "b": 0}, "says 4 and 0"),
        ({"fc": 0}, "1 to 10 channels of 'fc'"),
    ],
)
def test_only_a_branch_may_go_and_only_whole(channels: dict[str, int], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        checked_policy(branched_graph(), CompressionPolicy(channels))
