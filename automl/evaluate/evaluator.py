"""Policy in, `Evaluation` out: a slimmed and recovered network, measured on the search split."""

import time
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.core.cost import CostModel
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy, checked_policy
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.held import Batches
from automl.evaluate.interval import wilson95
from automl.evaluate.measure import Answers, Measurement, answers, compare, divergences, right_answers
from automl.evaluate.race import Lap, margin_at


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """How one policy answered, image by image."""

    divergences: Tensor  # [images], nats
    right: Tensor  # [images], bool

    def on_all_images(self, best: "_Scores") -> Measurement:
        """What `best`, which saw all images, and the paired difference on those that both have seen say of all."""
        images = len(self.right)
        divergence = Lap(self.divergences, best.divergences[:images]).extrapolated(float(best.divergences.mean()))
        right, theirs = self.right.double(), best.right.double()
        accuracy = min(max(Lap(right, theirs[:images]).extrapolated(float(theirs.mean())), 0.0), 1.0)
        return Measurement(accuracy, wilson95(round(accuracy * images), images), divergence, images)


class ModelEvaluator:
    """Measures policies on the search split; satisfies `core.evaluation.Evaluator`.

    A policy that is worse than the best one so far is not measured on all images (`race`).
    """

    def __init__(self, dense: DenseNetwork, cost_model: CostModel, search: Batches) -> None:
        """Asks the dense network once for its answers on the search split; they must be finite."""
        self._dense = dense
        self._cost_model = cost_model
        self._search = search
        self.reference: Answers = answers(dense.model, search, dense.device)
        compare(self.reference, self.reference)
        self._best: _Scores | None = None

    def __call__(self, policy: CompressionPolicy) -> Evaluation:
        """One evaluation; raises `SearchError` where the slimmed network's logits are not finite."""
        started = time.perf_counter()
        whole = checked_policy(self._dense.traced.graph, policy)
        network = self._dense.slimmed(whole)
        given = self._raced(network)
        images = len(given.labels)
        reference = self.reference.first(images)
        measured = compare(given, reference)
        ours = _Scores(divergences(given.logits, reference.logits), right_answers(given, reference))
        if self._best is not None and images < len(self._best.right):
            measured = ours.on_all_images(self._best)
        elif self._best is None or float(ours.divergences.mean()) < float(self._best.divergences.mean()):
            self._best = ours
        return Evaluation(
            policy=whole,
            cost=self._cost_model(whole),
            divergence=measured.divergence,
            accuracy=measured.accuracy,
            accuracy_ci95=measured.accuracy_ci95,
            images=images,
            seconds=time.perf_counter() - started,
        )

    def apart(self) -> "ModelEvaluator":
        """Another one for the same network and images, whose policies race against its own best one."""
        other = copy(self)
        other._best = None
        return other

    def defend(self, policy: CompressionPolicy) -> None:
        """Makes `policy` the one to beat, as it was before the process ended."""
        self._best = None
        self(policy)

    def _raced(self, network: nn.Module) -> Answers:
        """Answers on all images, or on those after which the race was lost."""
        logits: list[Tensor] = []
        labels: list[Tensor] = []
        images = 0
        for batch, targets in self._search:
            one = answers(network, [(batch, targets)], self._dense.device)
            logits.append(one.logits)
            labels.append(one.labels)
            before, images = images, images + len(targets)
            margin = margin_at(before, images)
            if self._best is not None and margin is not None:
                ours = divergences(torch.cat(logits), self.reference.logits[:images])
                if Lap(ours, self._best.divergences[:images]).lost(margin):
                    break
        return Answers(torch.cat(logits), torch.cat(labels))
