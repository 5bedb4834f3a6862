"""Ways to make a small network out of a policy, without training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from automl.compress.batch_norm import recalibrate
from automl.compress.importance import most_important, scores
from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.evaluate.held import Batches
from automl.pipeline.dense import dense_network
from automl.pipeline.held import held
from automl.pipeline.subject import Subject
from automl.search.sampler import LEAST_RATIO, UNIFORM_RATIO

Recovery = Literal["none", "least squares", "sequential"]


@dataclass(frozen=True, slots=True)
class Arm:
    """Which channels stay, and what is done about those that went."""

    name: str
    criterion: str
    """As `--importance` takes it."""
    recovery: Recovery
    """How the weights are mended; `sequential` is what finalists get, which sets batch norms as well."""
    recalibrated: bool
    """Whether batch norm is measured anew on the calibration images."""


L1 = Arm("L1", "l1", "none", recalibrated=False)
L1_RECALIBRATED = Arm("L1 + BN", "l1", "none", recalibrated=True)
LEAST_SQUARES = Arm("least squares + BN", "l2", "least squares", recalibrated=True)
OURS = Arm("OBS + least squares + BN", "obs", "least squares", recalibrated=True)
FINALIST = Arm("OBS + sequential", "obs", "sequential", recalibrated=False)
ARMS = (L1, L1_RECALIBRATED, LEAST_SQUARES, OURS, FINALIST)


class Workshop:
    """Makes the networks of one subject; what the arms of one criterion share is made once."""

    def __init__(self, subject: Subject, arms: Sequence[Arm]) -> None:
        """Profiles the dense network for each criterion that needs it."""
        self._subject = subject
        self._calibration: Batches = held(subject, subject.splits.calibration)
        self._profiles = {
            arm.criterion: dense_network(replace(subject, config=replace(subject.config, importance=arm.criterion)))
            for arm in arms
            if arm.recovery != "none"
        }
        self._scores = {
            arm.criterion: scores(subject.model, subject.traced, arm.criterion)
            for arm in arms
            if arm.recovery == "none"
        }

    def network(self, arm: Arm, policy: CompressionPolicy, *, own_memory: bool = False) -> nn.Module:
        """The network of `policy`, in eval mode; with `own_memory` it can be trained."""
        traced = self._subject.traced
        bare = arm.recovery == "none"
        ranking = self._scores[arm.criterion] if bare else self._profiles[arm.criterion].scores
        kept = most_important(traced, policy, ranking)
        smaller = slim(self._subject.model, traced.channel_map, kept, own_memory=own_memory)
        if not bare:
            self._profiles[arm.criterion].recovery.apply(smaller, kept)
        if arm.recovery == "sequential":
            self._profiles[arm.criterion].sequential.apply(smaller.eval(), kept)
        if arm.recalibrated:
            recalibrate(smaller, (images for images, _ in self._calibration))
        return smaller.eval()


def uniform(subject: Subject) -> CompressionPolicy:
    """The policy within the subject's budget that narrows every group by one factor."""
    return _feasible(subject, np.full(len(subject.space.knobs), UNIFORM_RATIO))


def random(subject: Subject, generator: np.random.Generator) -> CompressionPolicy:
    """A policy within the subject's budget, of random keep ratios."""
    return _feasible(subject, generator.uniform(LEAST_RATIO, 1.0, len(subject.space.knobs)))


def _feasible(subject: Subject, ratios: NDArray[np.float64]) -> CompressionPolicy:
    full = np.array([knob.choices[-1] for knob in subject.space.knobs])
    widths = subject.projection(ratios * full)
    names = [knob.target for knob in subject.space.knobs]
    return CompressionPolicy({name: int(width) for name, width in zip(names, widths, strict=True)})
