"""Devices with a known speed, so that nothing has to be timed."""

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy
from automl.costs.model import AnalyticCostModel
from automl.pipeline.probing import random_policies
from automl.runtime.call_times import CallTimes
from automl.runtime.calls import Calls
from automl.runtime.device_profile import DeviceProfile
from automl.runtime.runner import cpu_name
from automl.runtime.target import Target
from automl.tracing.channel_map import TracedModel


def wide(classes: int = 10) -> nn.Module:
    """Slow enough that its widths decide how long it takes, and nothing else of it."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes),
    )  # fmt: skip


Speed = Callable[[Mapping[str, int]], float]
"""Channels of every group -> milliseconds."""


def by_macs(traced: TracedModel, ms_per_million: float = 1.0) -> Speed:
    """A tenth of a millisecond, and so much for each million multiply-adds."""
    cost_model = AnalyticCostModel(traced.graph)
    return lambda channels: 0.1 + cost_model(CompressionPolicy(channels)).macs * ms_per_million / 1e6


def profile(traced: TracedModel, knobs: Sequence[Knob], target: Target, speed: Speed) -> DeviceProfile:
    """What a runner would bring, had it run here without any noise."""
    dense = {group.name: group.channels for group in traced.graph.prunable}
    policies = [dense, *random_policies(traced.graph, knobs, 32, seed=0)]
    calls = Calls.of([[number, speed(policy), 1] for number, policy in enumerate(policies)])
    device = {"name": "tests", "cpu": cpu_name()}
    return DeviceProfile(
        target, "2026-01-01T00:00:00Z", device, "onnxruntime", "9.9", tuple(policies), 0, CallTimes((calls,))
    )
