import torch

from automl.core.policy import CompressionPolicy
from automl.evaluate.measure import Answers
from automl.pipeline.results import image_answers, winner
from automl.pipeline.searching import Found


def test_the_winner_is_who_made_the_policy_and_what_needs_no_search_comes_first() -> None:
    policies = {name: CompressionPolicy({"0": width}) for name, width in (("uniform", 4), ("solver", 6), ("ddpg", 8))}
    found = Found(policies["uniform"], policies["solver"], (), None, 0, 0.0)
    assert {name: winner(found, policy, "ddpg") for name, policy in policies.items()} == {n: n for n in policies}


def test_the_answers_are_the_classes_of_the_highest_logits() -> None:
    labels = torch.tensor([1, 0])
    dense = Answers(torch.tensor([[0.1, 0.9, 0.0], [0.2, 0.3, 0.5]]), labels)
    best = Answers(torch.tensor([[0.8, 0.1, 0.1], [0.9, 0.0, 0.1]]), labels)
    found = image_answers("abc", {"baseline": dense, "best": best})
    assert (found.test, found.labels.tolist()) == ("abc", [1, 0])
    assert {name: each.tolist() for name, each in found.networks.items()} == {"baseline": [1, 2], "best": [0, 0]}
