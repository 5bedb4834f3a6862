"""The same job on a GPU gives the same answers as on the CPU."""

import numpy as np
import pytest
import torch

from automl.compress.importance import most_important, scores
from automl.compress.places import dense_places
from automl.compress.probe import trace_prunable
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.statistics import input_statistics
from automl.compress.surgery import slim
from automl.core.bits import BitWidths
from automl.core.policy import CompressionPolicy
from automl.costs.model import AnalyticCostModel
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.evaluator import ModelEvaluator
from tests.families import lively


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_an_evaluation_on_a_gpu_agrees_with_the_cpu() -> None:
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        model = lively("cifar_resnet20").to(device)
        traced = trace_prunable(model, (3, 32, 32))
        moved = images.to(device)
        batches = [(moved, torch.zeros(64, dtype=torch.int64))]
        channel_scores = scores(model, traced, "taylor", images=[moved])
        recovery = Recovery(model, traced, channel_scores, input_statistics(model, traced, [moved]))
        sequential, places = SequentialRecovery(model, traced, moved), dense_places(model, traced, {}, moved)
        dense = DenseNetwork(model, traced, channel_scores, recovery, sequential, {}, places, moved, device)
        half = CompressionPolicy({group.name: group.channels // 2 for group in traced.graph.prunable})
        smaller = slim(model, traced.channel_map, most_important(traced, half, dense.scores))
        assert smaller(moved).device.type == device.type
        assert dense.finalist(half)(moved).device.type == device.type
        rounded = CompressionPolicy(half.channels, dict.fromkeys(places.reads, BitWidths(4, 6)))
        assert dense.slimmed(rounded)(moved).device.type == device.type
        assert dense.quantized(dense.finalist(rounded), rounded)(moved).device.type == device.type
        found.append(ModelEvaluator(dense, AnalyticCostModel(traced.graph), batches)(half).divergence)
    assert np.isclose(found[0], found[1], rtol=1e-2)
