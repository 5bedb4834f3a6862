"""Times of a network's policies on a device: from its file, from the cache, or measured here and now."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
import onnx
from torch import nn

from automl.core.budget import Metric
from automl.core.errors import InputError
from automl.core.graph import ModelGraph
from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy, dense_policy
from automl.costs.latency import LatencyFit, fit_latency, fit_layers
from automl.costs.model import AnalyticCostModel
from automl.pipeline.probing import PROBES, exported_graph, graph_template, random_policies
from automl.runtime.device_profile import DeviceProfile, read_profile, write_profile
from automl.runtime.measuring import measured
from automl.runtime.pack import Pack
from automl.runtime.runner import cpu_name
from automl.runtime.table_times import TableTimes
from automl.runtime.target import Precision, Runtime, Target
from automl.tracing.channel_map import TracedModel

Say = Callable[[str], None]
_LEAST_MARGIN = 0.03
_MOST_MARGIN = 0.5
_LEAST_CLEAN = 0.5
_POOR_FIT = 0.05
_MOST_DRIFT = 0.1
_OLD = timedelta(days=180)
_BYTES: dict[Precision, int] = {"fp32": 4, "int8": 1}
"""Of one weight."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceLatency:
    """What is known of a network's time on a device."""

    profile: DeviceProfile
    fit: LatencyFit
    reference_ms: float
    """Milliseconds of the dense network in float."""

    @property
    def margin(self) -> float:
        """Share of a latency budget that policies leave: what is predicted of the one that is found may be too little.

        Half of the worst error, because the search looks for policies that are predicted too fast; twice as much where
        most calls were interrupted, which makes the error itself uncertain.
        """
        margin = max(_LEAST_MARGIN, self.fit.error.worst / 2)
        return margin if _left_alone(self.profile) else min(2 * margin, _MOST_MARGIN)


def target_of(
    spec: str, graph: ModelGraph, precision: Precision, threads: int, runtime: Runtime = Runtime.ONNXRUNTIME
) -> Target:
    """What times of this network are about."""
    channels, height, width = graph.input_shape
    return Target(spec, graph_digest(graph), (channels, height, width), precision, threads, runtime)


def graph_digest(graph: ModelGraph) -> str:
    """SHA-256 of layers and groups, in hexadecimal: networks of one digest take the same time."""
    parts = [asdict(layer) for layer in graph.layers], [asdict(group) for group in graph.groups]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def profile_from_file(path: Path, target: Target) -> DeviceProfile:
    """The times in a file, which must be about `target`.

    Raises:
        InputError: If it cannot be read, or is about another network, input, precision, number of threads or runtime.
    """
    profile = read_profile(path)
    for name, asked, found in _differences(target, profile.target):
        raise InputError(
            f"A device profile must be of the network that is searched, but {path} has the {name} {found} and the "
            f"search {asked}. Ask for what it has, or make a pack of this search with `automl profile` and run it on "
            "the device."
        )
    return profile


def local_profile(
    model: nn.Module, traced: TracedModel, knobs: Sequence[Knob], target: Target, say: Say
) -> DeviceProfile:
    """Times on this machine, measured once for each architecture, input, precision, thread count, runtime and CPU.

    Args:
        model: The dense network; its weights do not matter.
        traced: What tracing knows of it.
        knobs: Widths that policies may have.
        target: What is timed.
        say: Is told that it takes a while.

    Raises:
        ExportError: If the network cannot be exported.
        AutoMLError: If the runtime does not run it.
    """
    path = cache_folder() / f"{_key(target, knobs)}.json"
    with suppress(InputError):  # not there, or not whole: it is measured anew
        return profile_from_file(path, target)
    say(f"Timing {PROBES + 1} networks of this architecture in {target.runtime.label}, half a minute or so.")
    pack, graphs = probing_pack(model, traced, knobs, target)
    profile = measured(pack, graphs)
    write_profile(path, profile)
    return profile


def probing_pack(
    model: nn.Module, traced: TracedModel, knobs: Sequence[Knob], target: Target
) -> tuple[Pack, list[onnx.ModelProto]]:
    """The dense network and random policies of its space, ready to be timed anywhere.

    Args:
        model: The dense network; its weights do not matter.
        traced: What tracing knows of it.
        knobs: Widths that policies may have.
        target: What is timed.

    Raises:
        ExportError: If the network cannot be exported.
    """
    template = graph_template(model, traced, target.precision)
    dense = dense_policy(traced.graph).channels
    policies = [dense, *random_policies(traced.graph, knobs, PROBES, seed=0)]
    graphs = [template.at(policy) for policy in policies]
    reference = 0
    if target.precision != "fp32":
        reference = len(policies)
        policies.append(dense)
        graphs.append(exported_graph(model, traced, dense, "fp32"))
    cost_model = AnalyticCostModel(traced.graph)
    params = (cost_model(CompressionPolicy(policy)).params for policy in policies)
    weights = tuple(_BYTES[target.precision] * count for count in params)
    return Pack(target, tuple(policies), reference, weights), graphs


def device_latency(profile: DeviceProfile, graph: ModelGraph) -> DeviceLatency:
    """Fits what was measured.

    Args:
        profile: Of this network.
        graph: The network.

    Raises:
        InputError: If the profile has too few networks, or a policy or table of it is not whole.
    """
    for number, policy in enumerate(profile.policies):
        wrong = [group.name for group in graph.prunable if not 0 <= policy.get(group.name, -1) <= group.channels]
        if wrong:
            raise InputError(
                f"Each policy of a device profile must have the channels of every prunable group, but policy {number} "
                f"lacks {wrong[0]!r} or gives it more than there are. `automl describe` shows the groups."
            )
    return DeviceLatency(profile, _fit(profile, graph), float(profile.latency_ms()[profile.reference]))


def _fit(profile: DeviceProfile, graph: ModelGraph) -> LatencyFit:
    """Layer by layer where the time of every layer is known, else of whole networks."""
    numbers = [number for number in range(len(profile.policies)) if number == 0 or number != profile.reference]
    policies = [profile.policies[number] for number in numbers]
    latency_ms = profile.latency_ms()[numbers]
    layers_ms = None
    if isinstance(profile.times, TableTimes):
        layers_ms = profile.times.layers_ms([layer.name for layer in graph.layers], numbers)
    if layers_ms is None:
        return fit_latency(graph, policies, latency_ms)
    return fit_layers(graph, policies, layers_ms, np.maximum(latency_ms - layers_ms.sum(axis=1), 0.0))


def device_lines(latency: DeviceLatency, now: datetime) -> list[str]:
    """What a user should know of the device's times: where they are from, and how far they can be trusted.

    Args:
        latency: What is known.
        now: Today, with its time zone.
    """
    profile, error = latency.profile, latency.fit.error
    target = profile.target
    runtime, dense_ms = f"{profile.runtime} {profile.release}".strip(), Metric.LATENCY.text(latency.reference_ms)
    drift = "" if profile.drift is None else f"; meanwhile the dense network's time drifted by {profile.drift:.0%}"
    return [
        f"Device: {profile.device.get('cpu') or profile.device.get('name')}, {runtime}, {target.precision}, "
        f"{target.threads} thread(s), batch 1; the dense float network takes {dense_ms}.",
        f"Predicted latency is off by {error.mean:.1%} on average, {error.worst:.1%} at worst, rank correlation "
        f"{error.rank_correlation:.3f} (cross-validated over {error.networks} networks){drift}.",
        *_warnings(latency, now),
    ]


def _warnings(latency: DeviceLatency, now: datetime) -> Iterator[str]:
    profile, again = latency.profile, "Stop what else runs on the device, and time it again."
    if not _left_alone(profile):
        yield (
            f"Only {profile.clean:.0%} of the timed calls were left alone by other programs, which makes these times "
            f"uncertain: the margin is twice as wide. {again}"
        )
    if profile.drift is not None and profile.drift > _MOST_DRIFT:
        yield (
            f"A drift above {_MOST_DRIFT:.0%} is much: the device changed its speed meanwhile. Ratios make up for it, "
            f"absolute milliseconds do not. {again}"
        )
    if latency.fit.error.mean > _POOR_FIT:
        yield (
            f"A mean error above {_POOR_FIT:.0%} is much: the device is noisy, or its runtime does what the features "
            "cannot tell. The margin is wider for it."
        )
    age = _age(profile, now)
    if age is None or age > _OLD:
        said = f"{age.days} days ago" if age is not None else f"at {profile.created!r}, which is no date"
        yield f"These times were measured {said}; devices and their systems change. Time the device again."


def _left_alone(profile: DeviceProfile) -> bool:
    return profile.clean is None or profile.clean >= _LEAST_CLEAN


def _age(profile: DeviceProfile, now: datetime) -> timedelta | None:
    """How long ago the device was timed; None where the profile does not say when."""
    try:
        created = datetime.fromisoformat(profile.created)
    except ValueError:
        return None
    return now - (created if created.tzinfo else created.replace(tzinfo=UTC))


def cache_folder() -> Path:
    """Where times on this machine are kept; it can be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "automl" / "devices"


def _differences(asked: Target, found: Target) -> list[tuple[str, object, object]]:
    """Name, asked and found, of what is not the same; the spec counts for nothing where the networks are equal."""
    names = ("precision", "threads", "runtime", "input") if asked.graph == found.graph else ("arch", "input", "graph")
    pairs = [(name, getattr(asked, name), getattr(found, name)) for name in names]
    return [(name, ours, theirs) for name, ours, theirs in pairs if ours != theirs and theirs is not Runtime.OTHER]


def _key(target: Target, knobs: Sequence[Knob]) -> str:
    widths = [knob.choices for knob in knobs if knob.kind == "channels"]
    facts = [asdict(target), widths, _packages(target.runtime), cpu_name(), PROBES]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _packages(runtime: Runtime) -> list[tuple[str, str]]:
    """Name and version of what is installed of a runtime; it is not imported for that."""
    names = sorted(set(packages_distributions().get(runtime.value, [])))
    return [(name, version(name)) for name in names]
