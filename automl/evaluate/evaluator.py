"""Policy in, `Evaluation` out: a slimmed and recovered network, measured on the search split."""

import time
from dataclasses import dataclass

import torch
from torch import nn

from automl.compress.batch_norm import recalibrate
from automl.compress.importance import Scores, most_important
from automl.compress.reconstruction import Recovery
from automl.compress.surgery import slim
from automl.core.cost import CostModel
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy, checked_policy
from automl.evaluate.held import Batches
from automl.evaluate.measure import Answers, answers, compare
from automl.tracing.channel_map import TracedModel


@dataclass(frozen=True, slots=True)
class DenseNetwork:
    """The trained network, and what of it every policy shares."""

    model: nn.Module
    traced: TracedModel
    scores: Scores
    """Importance of each channel."""
    recovery: Recovery
    """Least-squares weights for every layer that loses inputs."""
    calibration: Batches
    """Images that batch norms are recalibrated on; their labels are not used."""
    device: torch.device

    def slimmed(self, policy: CompressionPolicy, *, own_memory: bool = False) -> nn.Module:
        """The network of `policy` in eval mode: best channels, recovered weights, recalibrated batch norms."""
        kept = most_important(self.traced, policy, self.scores)
        smaller = slim(self.model, self.traced.channel_map, kept, own_memory=own_memory)
        self.recovery.apply(smaller, kept)
        recalibrate(smaller, (images for images, _ in self.calibration))
        return smaller.eval()


class ModelEvaluator:
    """Measures policies; satisfies `core.evaluation.Evaluator`."""

    def __init__(self, dense: DenseNetwork, cost_model: CostModel, search: Batches) -> None:
        """Asks the dense network once for its answers on the search split; they must be finite."""
        self._dense = dense
        self._cost_model = cost_model
        self._search = search
        self.reference: Answers = answers(dense.model, search, dense.device)
        compare(self.reference, self.reference)

    def __call__(self, policy: CompressionPolicy) -> Evaluation:
        """One evaluation; raises `SearchError` where the slimmed network's logits are not finite."""
        started = time.perf_counter()
        whole = checked_policy(self._dense.traced.graph, policy)
        measured = compare(answers(self._dense.slimmed(whole), self._search, self._dense.device), self.reference)
        return Evaluation(
            policy=whole,
            cost=self._cost_model(whole),
            divergence=measured.divergence,
            accuracy=measured.accuracy,
            accuracy_ci95=measured.accuracy_ci95,
            images=measured.images,
            seconds=time.perf_counter() - started,
        )
