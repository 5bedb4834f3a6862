"""The trained network as searches and results take it apart."""

import torch

from automl.compress.folding import foldable
from automl.compress.importance import scores
from automl.compress.places import dense_places
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.statistics import input_statistics
from automl.evaluate.dense import DenseNetwork
from automl.pipeline.held import held
from automl.pipeline.subject import Subject

_QUANTIZING = 128
"""Calibration images that quantizers are fitted to."""


def dense_network(subject: Subject) -> DenseNetwork:
    """The trained network with its importance scores and what the calibration images say of it."""
    model, traced, device, config = subject.model.eval(), subject.traced, subject.device, subject.config
    calibration = [batch.to(device) for batch, _ in held(subject, subject.splits.calibration)]
    statistics = input_statistics(model, traced, calibration, seed=config.seed)
    order = scores(model, traced, config.importance, images=calibration, statistics=statistics, seed=config.seed)
    recovery = Recovery(model, traced, order, statistics)
    sequential = SequentialRecovery(model, traced, torch.cat(calibration))
    norms = foldable(model, traced, calibration[0][:2])
    places = dense_places(model, traced, norms, calibration[0][:2])
    images = torch.cat(calibration)
    return DenseNetwork(model, traced, order, recovery, sequential, norms, places, images[:_QUANTIZING], device)
