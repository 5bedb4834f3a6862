from automl.core.policy import CompressionPolicy
from automl.pipeline.results import winner
from automl.pipeline.searching import Found


def test_the_winner_is_who_made_the_policy_and_what_needs_no_search_comes_first() -> None:
    policies = {name: CompressionPolicy({"0": width}) for name, width in (("uniform", 4), ("solver", 6), ("ddpg", 8))}
    found = Found(policies["uniform"], policies["solver"], (), None, 0, 0.0)
    assert {name: winner(found, policy, "ddpg") for name, policy in policies.items()} == {n: n for n in policies}
