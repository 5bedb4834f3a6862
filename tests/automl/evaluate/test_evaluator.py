from dataclasses import replace

import pytest
import torch
from torch import nn

from automl.compress.importance import scores
from automl.compress.places import dense_places
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.statistics import input_statistics
from automl.core.errors import PolicyError
from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.model import AnalyticCostModel
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.evaluator import ModelEvaluator
from automl.evaluate.measure import answers
from automl.tracing.trace import trace
from tests.families import lively

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dense() -> DenseNetwork:
    model: nn.Module = lively("cifar_resnet20")
    traced = trace(model, (3, 16, 16))
    images = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    channel_scores = scores(model, traced, "l2")
    recovery = Recovery(model, traced, channel_scores, input_statistics(model, traced, [images]))
    sequential, places = SequentialRecovery(model, traced, images), dense_places(model, traced, {}, images)
    return DenseNetwork(model, traced, channel_scores, recovery, sequential, {}, places, images, CPU)


@pytest.fixture(scope="module")
def evaluator(dense: DenseNetwork) -> ModelEvaluator:
    images = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(40) % 10
    return ModelEvaluator(
        dense, AnalyticCostModel(dense.traced.graph), [(images[:20], labels[:20]), (images[20:], labels[20:])]
    )


def test_an_evaluation_is_of_a_smaller_network(dense: DenseNetwork, evaluator: ModelEvaluator) -> None:
    half = CompressionPolicy({group.name: group.channels // 2 for group in dense.traced.graph.prunable})
    smaller = dense.slimmed(half)
    evaluation = evaluator(half)
    assert evaluation.cost.params == sum(parameter.numel() for parameter in smaller.parameters())
    assert evaluation.images == 40
    assert evaluation.divergence > 0
    assert 0 <= evaluation.accuracy_ci95[0] <= evaluation.accuracy <= evaluation.accuracy_ci95[1] <= 1


def test_slimming_runs_nothing(dense: DenseNetwork) -> None:
    ran: list[str] = []
    hook = nn.modules.module.register_module_forward_pre_hook(lambda module, _: ran.append(type(module).__name__))
    try:
        quick = dense.slimmed(CompressionPolicy({dense.traced.graph.prunable[-1].name: 16}))
    finally:
        hook.remove()
    assert ran == []
    assert not quick.training


def test_a_finalist_has_its_own_weights(dense: DenseNetwork) -> None:
    policy = CompressionPolicy({group.name: group.channels // 2 for group in dense.traced.graph.prunable})
    finalist = dense.finalist(policy)
    before = {name: tensor.clone() for name, tensor in finalist.state_dict().items()}
    # Neither the dense network nor the recovery's table nor another finalist writes to its weights.
    networks = (dense.model, dense.slimmed(policy), dense.finalist(policy))
    theirs = {parameter.data_ptr() for network in networks for parameter in network.parameters()}
    assert not theirs & {parameter.data_ptr() for parameter in finalist.parameters()}
    assert all(bool((tensor == before[name]).all()) for name, tensor in finalist.state_dict().items())
    assert all(parameter.requires_grad for parameter in finalist.parameters())


def test_a_finalist_is_fitted_once_and_comes_back_as_it_was_before_its_training(
    dense: DenseNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = CompressionPolicy({group.name: group.channels // 4 for group in dense.traced.graph.prunable})
    first = dense.finalist(policy)
    before = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    for tensor in first.state_dict().values():
        tensor.zero_()  # a training
    monkeypatch.setattr(SequentialRecovery, "apply", lambda *_: pytest.fail("fitted again"))
    second = dense.finalist(policy)

    assert all(torch.equal(tensor, before[name]) for name, tensor in second.state_dict().items())
    assert not second.training


def racing(dense: DenseNetwork) -> ModelEvaluator:
    images = torch.randn(512, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    labels = torch.zeros(512, dtype=torch.int64)
    batches = [(images[first : first + 64], labels[first : first + 64]) for first in range(0, 512, 64)]
    return ModelEvaluator(dense, AnalyticCostModel(dense.traced.graph), batches)


def test_a_clear_loser_is_measured_on_fewer_images(dense: DenseNetwork) -> None:
    evaluator = racing(dense)
    best = evaluator(CompressionPolicy({dense.traced.graph.prunable[0].name: 12}))
    worst = CompressionPolicy({group.name: 4 for group in dense.traced.graph.prunable})
    loser = evaluator(worst)
    assert (best.images, loser.images) == (512, 128)
    # Extrapolated with the paired difference, it is about what all images would have said.
    alone = racing(dense)(worst)
    assert alone.images == 512
    assert loser.divergence == pytest.approx(alone.divergence, rel=0.2)


def test_the_accuracy_of_a_loser_is_that_of_all_images_as_well(dense: DenseNetwork) -> None:
    # The best one is right on all of the first 128 images and on none of the others: a quarter of all.
    first = CompressionPolicy({dense.traced.graph.prunable[0].name: 12})
    worst = CompressionPolicy({group.name: 4 for group in dense.traced.graph.prunable})
    images = torch.randn(512, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    said = answers(dense.slimmed(first), [(images, torch.zeros(512))], CPU).logits.argmax(dim=1)
    labels = torch.where(torch.arange(512) < 128, said, (said + 1) % 10)
    batches = [(images[at : at + 64], labels[at : at + 64]) for at in range(0, 512, 64)]
    evaluator = ModelEvaluator(dense, AnalyticCostModel(dense.traced.graph), batches)
    assert evaluator(first).accuracy == pytest.approx(0.25)
    loser = evaluator(worst)
    alone = answers(dense.slimmed(worst), [(images[:128], labels[:128])], CPU)
    lost = 1.0 - float((alone.logits.argmax(dim=1) == labels[:128]).double().mean())
    assert loser.images == 128
    assert lost > 0.25
    assert loser.accuracy == 0.0  # 25% minus what it loses on the images that both have seen
    assert loser.accuracy_ci95[0] == 0.0


def test_after_a_resume_the_same_policy_is_the_one_to_beat(dense: DenseNetwork) -> None:
    best = CompressionPolicy({dense.traced.graph.prunable[0].name: 12})
    worst = CompressionPolicy({group.name: 4 for group in dense.traced.graph.prunable})
    through, resumed = racing(dense), racing(dense)
    through(best)
    resumed.defend(best)
    assert replace(resumed(worst), seconds=0.0) == replace(through(worst), seconds=0.0)


def test_an_evaluator_apart_has_a_best_policy_of_its_own(dense: DenseNetwork) -> None:
    images = torch.randn(256, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(256) % 10
    split = [(images[:128], labels[:128]), (images[128:], labels[128:])]
    evaluator = ModelEvaluator(dense, AnalyticCostModel(dense.traced.graph), split)
    evaluator(dense_policy(dense.traced.graph))
    narrow = CompressionPolicy({group.name: group.channels // 4 for group in dense.traced.graph.prunable})
    assert evaluator(narrow).images == 128  # it lost against the dense network
    assert evaluator.apart()(narrow).images == 256
    assert evaluator(narrow).images == 128


def test_the_same_policy_is_worth_the_same_twice(dense: DenseNetwork, evaluator: ModelEvaluator) -> None:
    policy = CompressionPolicy({dense.traced.graph.prunable[0].name: 8})
    assert evaluator(policy).divergence == evaluator(policy).divergence


def test_evaluating_leaves_the_dense_network_alone(dense: DenseNetwork, evaluator: ModelEvaluator) -> None:
    before = {name: tensor.clone() for name, tensor in dense.model.state_dict().items()}
    evaluator(CompressionPolicy({group.name: 4 for group in dense.traced.graph.prunable}))
    evaluator(dense_policy(dense.traced.graph))
    assert all(torch.equal(tensor, before[name]) for name, tensor in dense.model.state_dict().items())


def test_a_policy_that_does_not_fit_is_refused(evaluator: ModelEvaluator) -> None:
    with pytest.raises(PolicyError):
        evaluator(CompressionPolicy({"nowhere": 4}))
