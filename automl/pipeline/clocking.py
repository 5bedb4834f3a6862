"""The exported network against the dense one: same runtime, same process, call by call in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from automl.core.policy import CompressionPolicy, dense_policy
from automl.pipeline.probing import exported_graph
from automl.pipeline.profiling import target_of
from automl.pipeline.subject import Subject
from automl.report.timing import TimedName, Timing
from automl.runtime.call_times import CallTimes
from automl.runtime.device_profile import DeviceProfile
from automl.runtime.measuring import measured
from automl.runtime.pack import Pack, Protocol

_PROTOCOL = Protocol(batch_s=0.5, repeats=10, most_rounds=1000)


@dataclass(frozen=True, slots=True)
class Clock:
    """Milliseconds of one image. Where a device's profile is known they are on its terms, so that they compare."""

    dense_ms: float
    """The dense network in float."""
    float_ms: float
    """The policy's network in float."""
    final_ms: float
    """The exported file."""
    timing: Timing
    """What was timed, on its own terms."""


def clock(subject: Subject, policy: CompressionPolicy, path: Path) -> Clock:
    """Times the exported file beside the dense network, and where it holds integers beside its float form.

    Args:
        subject: Says how many threads.
        policy: Of the file.
        path: The exported file.

    Raises:
        ExportError: If the dense network cannot be exported.
        AutoMLError: If the runtime does not run one of them.
    """
    model, traced = subject.model.eval(), subject.traced
    dense = dense_policy(traced.graph).channels
    graphs = [exported_graph(model, traced, dense, "fp32"), onnx.load(path)]
    policies = [dense, policy.channels]
    if policy.bits:
        graphs.append(exported_graph(model, traced, policy.channels, "fp32"))
        policies.append(policy.channels)
    profile = _timed(subject, policies, graphs)
    dense_ms, final_ms, *rest = _times_ms(subject, profile)
    return Clock(dense_ms, rest[0] if rest else final_ms, final_ms, _timing(profile))


def times_ms(subject: Subject, policies: Sequence[Mapping[str, int]], graphs: Sequence[onnx.ModelProto]) -> list[float]:
    """Milliseconds of several networks; the first one is the dense network in float, whatever else is timed.

    Args:
        subject: Says how many threads, and what the dense network takes by its profile, if it has one.
        policies: Channels of each network.
        graphs: One for each of `policies`.
    """
    return _times_ms(subject, _timed(subject, policies, graphs))


def policies_ms(subject: Subject, policies: Sequence[CompressionPolicy]) -> list[float]:
    """Milliseconds of each policy's network, exported with weights that mean nothing.

    Args:
        subject: Says how many threads, and what the dense network takes.
        policies: Those with bit-widths are timed in 8-bit integers.

    Raises:
        ExportError: If one cannot be exported.
        AutoMLError: If the runtime does not run one of them.
    """
    model, traced = subject.model.eval(), subject.traced
    dense = dense_policy(traced.graph).channels
    graphs = [exported_graph(model, traced, dense, "fp32")]
    graphs += [exported_graph(model, traced, x.channels, "int8" if x.bits else "fp32") for x in policies]
    return times_ms(subject, [dense, *(policy.channels for policy in policies)], graphs)[1:]


def _timed(subject: Subject, policies: Sequence[Mapping[str, int]], graphs: Sequence[onnx.ModelProto]) -> DeviceProfile:
    config = subject.config
    target = target_of(config.model, subject.traced.graph, "fp32", config.threads, subject.runtime)
    weights = tuple(graph.ByteSize() for graph in graphs)
    return measured(Pack(target, tuple(policies), 0, weights, _PROTOCOL), graphs)


def _times_ms(subject: Subject, profile: DeviceProfile) -> list[float]:
    """On the terms of the subject's own profile, where it has one."""
    latency_ms = profile.latency_ms()
    dense_ms = latency_ms[0] if subject.latency is None else subject.latency.reference_ms
    found: list[float] = (dense_ms * latency_ms / latency_ms[0]).tolist()
    return found


def _timing(profile: DeviceProfile) -> Timing:
    names: tuple[TimedName, ...] = ("dense", "exported", "float")
    times = profile.times
    assert isinstance(times, CallTimes)  # because they were measured here
    return Timing(
        runtime=profile.target.runtime,
        version=profile.release,
        cpu=str(profile.device.get("cpu") or profile.device.get("name")),
        threads=profile.target.threads,
        drift=times.drift,
        networks={name: times.summary(number) for number, name in enumerate(names[: len(profile.policies)])},
    )
