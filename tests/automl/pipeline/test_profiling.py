import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from automl.core.errors import BudgetError, InputError
from automl.pipeline import profiling
from automl.pipeline.profiling import (
    DeviceLatency,
    device_latency,
    device_lines,
    local_profile,
    profile_from_file,
    target_of,
)
from automl.pipeline.subject import open_space, open_subject, write_probes
from automl.runtime import measuring
from automl.runtime.call_times import CallTimes
from automl.runtime.calls import Calls
from automl.runtime.device_profile import DeviceProfile, write_profile
from automl.runtime.runner import cpu_name
from automl.runtime.table_times import TableTimes
from automl.runtime.target import Runtime, Target
from automl.store.config import RunConfig
from automl.tracing.channel_map import TracedModel
from tests.devices import by_macs, profile

TODAY = datetime(2026, 2, 1, tzinfo=UTC)
"""A month after the profile of `tests.devices`."""
CHAIN = "tests.automl.pipeline.test_profiling:chain"


def chain(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes),
    )  # fmt: skip


CONFIG = RunConfig(CHAIN, "digits", ("0.5latency",), limit=200, device="cpu")


@pytest.fixture(scope="module")
def measured() -> DeviceProfile:
    """A device on which time is a matter of multiply-adds."""
    _, traced, space = open_space(CONFIG, timed=True)
    return profile(traced, space.knobs, target_of(CHAIN, traced.graph, "fp32", 1), by_macs(traced))


@pytest.fixture
def device(measured: DeviceProfile, tmp_path: Path) -> Path:
    write_profile(tmp_path / "device.json", measured)
    return tmp_path / "device.json"


def test_a_latency_budget_is_costed_by_the_device(device: Path) -> None:
    subject = open_subject(replace(CONFIG, target=str(device)))
    assert subject.latency is not None
    cost_model, truth = subject.cost_model, by_macs(subject.traced)
    generator = np.random.default_rng(0)
    for _ in range(20):
        policy = subject.space.sample(generator)
        if 0 not in policy.channels.values():
            assert cost_model(policy).latency_ms == pytest.approx(truth(policy.channels), rel=0.02)
    assert subject.dense_cost.latency_ms == pytest.approx(truth({"0": 16, "2": 32}))
    (limit,) = subject.budget.limits
    assert limit.margin == max(0.03, subject.latency.fit.error.worst / 2)


def test_a_budget_below_the_fastest_policy_names_the_nearest(device: Path) -> None:
    with pytest.raises(BudgetError, match=r"0\.01latency.*nearest reachable budget is 0\.\d+latency"):
        open_subject(replace(CONFIG, target=str(device), budget=("0.01latency",)))
    with pytest.raises(BudgetError, match="above the dense cost"):
        open_subject(replace(CONFIG, target=str(device), budget=("5s",)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bits": "8"}, "has the precision fp32 and the search int8"),
        ({"threads": 2}, "has the threads 1 and the search 2"),
        ({"runtime": "openvino"}, "has the runtime onnxruntime and the search openvino"),
        ({"model": "cifar_resnet20"}, f"has the arch {CHAIN} and the search cifar_resnet20"),
    ],
)
def test_a_profile_of_something_else_is_refused(device: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_subject(replace(CONFIG, target=str(device), **changed))


def test_a_profile_of_another_input_size_is_refused(device: Path, measured: DeviceProfile) -> None:
    with pytest.raises(InputError, match=r"has the input \(1, 16, 16\) and the search \(1, 32, 32\)"):
        profile_from_file(device, replace(measured.target, graph="other", input=(1, 32, 32)))


def test_this_machine_is_timed_once(measured: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Target] = []

    def probes(model: nn.Module, traced: Any, knobs: Any, target: Target) -> tuple[Target, list[Any]]:
        return target, []

    def timed(pack: Target, graphs: Any) -> DeviceProfile:
        asked.append(pack)
        return measured

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(profiling, "probing_pack", probes)
    monkeypatch.setattr(profiling, "measured", timed)
    network, traced, space = open_space(CONFIG, timed=True)
    said: list[str] = []
    for _ in range(2):
        again = local_profile(network.model.eval(), traced, space.knobs, measured.target, said.append)
        assert again.to_json() == measured.to_json()
    assert asked == [measured.target]
    assert len(said) == 1
    (cached,) = (tmp_path / "automl" / "devices").iterdir()
    cached.write_text(cached.read_text()[:100])  # a damaged one is measured anew
    assert local_profile(network.model, traced, space.knobs, measured.target, said.append).to_json() == again.to_json()
    assert len(asked) == 2
    # Other widths are other networks.
    local_profile(
        network.model,
        traced,
        tuple(replace(k, choices=k.choices[1:]) for k in space.knobs),
        measured.target,
        said.append,
    )
    assert len(asked) == 3
    # So is another runtime.
    target = replace(measured.target, runtime=Runtime.OPENVINO)
    local_profile(network.model, traced, space.knobs, target, said.append)
    assert asked[3] == target
    assert "in OpenVINO" in said[-1]


def test_what_is_known_of_the_device_is_said(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    quiet = device_latency(measured, traced.graph)
    assert any(cpu_name() in line and "onnxruntime 9.9" in line for line in device_lines(quiet, TODAY))
    assert len(device_lines(quiet, TODAY)) == 2


def test_a_noisy_device_is_warned_about_and_gets_a_wider_margin(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    assert isinstance(measured.times, CallTimes)
    (calls,) = measured.times.batches
    generator = np.random.default_rng(0)
    disturbed = calls.ms * np.exp(generator.normal(0, 0.2, len(calls.ms)))
    noisy = replace(measured, times=CallTimes((Calls(calls.network, disturbed, np.zeros(len(calls.ms), dtype=bool)),)))
    latency: DeviceLatency = device_latency(noisy, traced.graph)
    said = " ".join(device_lines(latency, TODAY))
    assert "Only 0% of the timed calls" in said
    assert "A mean error above 5%" in said
    assert latency.margin == min(latency.fit.error.worst, 0.5)  # twice the half of it
    assert latency.margin > 0.1


def test_half_of_the_calls_left_alone_are_enough(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    assert isinstance(measured.times, CallTimes)
    (calls,) = measured.times.batches
    margins = {}
    for share in (0.5, 0.4):
        clean = np.arange(len(calls.ms)) < np.ceil(share * len(calls.ms))
        latency = device_latency(replace(measured, times=CallTimes((replace(calls, clean=clean),))), traced.graph)
        margins[share] = latency.margin
        assert any("left alone" in line for line in device_lines(latency, TODAY)) == (share < 0.5)
    assert margins[0.4] == 2 * margins[0.5]


def test_a_device_that_changes_its_speed_is_warned_about(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    assert isinstance(measured.times, CallTimes)
    (calls,) = measured.times.batches
    rows = calls.to_json()
    for factor in (1.05, 1.2):
        slower = [[number, factor * ms, clean] for number, ms, clean in rows]
        batches = (Calls.of([*rows, *slower]),)
        said = device_lines(device_latency(replace(measured, times=CallTimes(batches)), traced.graph), TODAY)
        assert any("A drift above 10%" in line for line in said) == (factor > 1.1)


@pytest.mark.parametrize(
    ("created", "words"),
    [
        ("2026-01-31T00:00:00Z", None),
        ("2025-10-01T00:00:00Z", None),
        ("2025-07-01T00:00:00Z", "measured 215 days ago"),
        ("2025-07-01T00:00:00", "measured 215 days ago"),
        ("long ago", "'long ago', which is no date"),
    ],
)
def test_old_times_are_warned_about(measured: DeviceProfile, created: str, words: str | None) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    lines = device_lines(device_latency(replace(measured, created=created), traced.graph), TODAY)
    said = " ".join(line for line in lines if "Time the device again" in line)
    assert (said == "") if words is None else (words in said)


def whole(measured: DeviceProfile) -> DeviceProfile:
    """The same times, as another tool would give them."""
    times = TableTimes(tuple(measured.latency_ms().tolist()))
    return replace(measured, times=times, device={"name": "Pixel 1"}, runtime="benchmark_model 2.16", version="")


def layered(profile: DeviceProfile, traced: TracedModel, count: int) -> DeviceProfile:
    """Layers of a few networks: a tenth of a millisecond to pool, and one for each million multiply-adds.

    The stem takes as long with 8 channels as with 16, which is one block.
    """
    times = []
    for policy in profile.policies[:count]:
        layers = [(layer, {**policy, "0": 16} if layer.name == "0" else policy) for layer in traced.graph.layers]
        times.append({layer.name: layer.macs(kept) / 1e6 for layer, kept in layers} | {"pool": 0.1})
    return replace(profile, policies=profile.policies[:count], times=TableTimes(tuple(times)))


def test_another_tools_times_of_whole_networks_are_fitted_as_ours_are(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    latency, ours = device_latency(whole(measured), traced.graph), device_latency(measured, traced.graph)
    assert latency.reference_ms == pytest.approx(ours.reference_ms)
    assert latency.margin == pytest.approx(ours.margin, rel=1e-3)
    first, second = device_lines(latency, TODAY)  # nothing of interruptions
    assert first.startswith("Device: Pixel 1, benchmark_model 2.16, fp32,")
    assert "cross-validated over 33 networks" in second
    assert "drift" not in second
    few = replace(whole(measured), policies=measured.policies[:20], times=TableTimes((1.0,) * 20))
    with pytest.raises(InputError, match=r"at least 24 timed networks .* there are 20"):
        device_latency(few, traced.graph)


def test_layers_of_a_few_networks_are_enough(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    picked = replace(whole(measured), policies=(measured.policies[0], *measured.policies[5::9]))
    latency = device_latency(layered(picked, traced, 4), traced.graph)
    assert latency.fit.error.networks == 4
    truth_ms = layered(measured, traced, 33).latency_ms()
    assert latency.reference_ms == truth_ms[0]
    widths = np.array([[policy[group.name] for group in traced.graph.prunable] for policy in measured.policies])
    np.testing.assert_allclose(latency.fit.form(widths), truth_ms, rtol=0.01)


def test_the_float_network_beside_integer_ones_needs_no_layers(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    beside = layered(replace(whole(measured), reference=4), traced, 5)
    assert isinstance(beside.times, TableTimes)
    beside = replace(beside, times=TableTimes((*beside.times.networks[:4], 9.0)))
    latency = device_latency(beside, traced.graph)
    assert latency.reference_ms == 9.0
    assert latency.fit.error.networks == 4


def test_a_policy_that_lacks_a_group_is_refused(measured: DeviceProfile) -> None:
    _, traced, _ = open_space(CONFIG, timed=True)
    with pytest.raises(InputError, match="policy 1 lacks '2'"):
        device_latency(replace(measured, policies=(measured.policies[0], {"0": 8})), traced.graph)


def test_a_pack_for_a_device_has_the_dense_network_and_random_policies(tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert write_probes(CONFIG, tmp_path / "pack.zip") == 33
    assert write_probes(replace(CONFIG, bits="8"), tmp_path / "int8.zip") == 34  # and the dense one in float


def test_a_pack_for_a_runtime_that_is_not_here_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "find_spec", lambda name: None)
    write_probes(replace(CONFIG, runtime="openvino"), tmp_path / "pack.zip")
    with zipfile.ZipFile(tmp_path / "pack.zip") as archive:
        assert json.loads(archive.read("pack.json"))["runtime"] == {"name": "openvino"}


def test_a_device_with_another_runtime_is_searched_for(
    measured: DeviceProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "find_spec", lambda name: None)  # nothing is timed here
    target = replace(measured.target, runtime=Runtime.OPENVINO)
    elsewhere = replace(measured, target=target, runtime="openvino", version="2026.4.1-build")
    write_profile(tmp_path / "device.json", elsewhere)
    subject = open_subject(replace(CONFIG, target=str(tmp_path / "device.json"), runtime="openvino"))
    assert subject.latency is not None
    assert any("openvino 2026.4.1," in line for line in device_lines(subject.latency, TODAY))
