import importlib.metadata
import importlib.util
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from automl.core.errors import AutoMLError, InputError
from automl.runtime import measuring, runner
from automl.runtime.call_times import CallTimes
from automl.runtime.device_profile import DeviceProfile, profile_of, read_profile, write_profile
from automl.runtime.measuring import measured, refuse_elsewhere, refuse_without
from automl.runtime.pack import Pack, Protocol, write_pack
from automl.runtime.target import Runtime, Target

SHORT = Protocol(calls=2, batch_s=0.0, repeats=1, anchors=1, least_rounds=8, most_rounds=8)
TARGET = Target("tests:chain", "digest", (4, 8, 8), "fp32", 1)
OPENVINO = replace(TARGET, runtime=Runtime.OPENVINO)
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")


def chain(layers: int) -> onnx.ModelProto:
    """So many convolutions of 4 channels on a map of 8 x 8."""
    weight = numpy_helper.from_array(np.full((4, 4, 3, 3), 0.01, np.float32), "w")
    names = ["images", *(f"map{i}" for i in range(layers))]
    nodes = [helper.make_node("Conv", [a, "w"], [b], pads=[1, 1, 1, 1]) for a, b in itertools.pairwise(names)]
    ends = [helper.make_tensor_value_info(name, 1, ["n", 4, 8, 8]) for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def pack(count: int, weights: int = 100) -> Pack:
    return Pack(TARGET, tuple({"a": number + 1} for number in range(count)), 0, (weights,) * count, SHORT)


@pytest.fixture(scope="module")
def profile() -> DeviceProfile:
    return measured(pack(2), [chain(40), chain(4)])


def test_networks_are_timed_in_a_process_of_their_own(profile: DeviceProfile) -> None:
    assert isinstance(profile.times, CallTimes)
    (calls,) = profile.times.batches
    assert [calls.summary(number).calls for number in (0, 1)] == [16, 16]
    assert profile.target == TARGET
    assert profile.target.runtime is Runtime.ONNXRUNTIME
    dense_ms, small_ms = profile.latency_ms()
    assert dense_ms == pytest.approx(calls.summary(0).min_ms)
    assert 0 < small_ms < dense_ms


def test_times_of_another_processor_are_not_gone_on_with(profile: DeviceProfile) -> None:
    refuse_elsewhere(profile)
    elsewhere = replace(profile, device={**profile.device, "cpu": "A Fine CPU"})
    with pytest.raises(InputError, match="timed on A Fine CPU and this is"):
        refuse_elsewhere(elsewhere)


def test_a_profile_is_written_and_read_back(profile: DeviceProfile, tmp_path: Path) -> None:
    write_profile(tmp_path / "device.json", profile)
    again = read_profile(tmp_path / "device.json")
    assert again.to_json() == profile.to_json()
    np.testing.assert_array_equal(again.latency_ms(), profile.latency_ms())


def test_a_pack_runs_wherever_it_is_copied_to(tmp_path: Path) -> None:
    write_pack(tmp_path / "pack.zip", pack(2), [chain(2), chain(1)])
    # -I: neither this checkout nor the environment's variables can be imported from.
    command = [sys.executable, "-I", "pack.zip", "device.json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Timed 2 networks" in ended.stderr
    assert read_profile(tmp_path / "device.json").policies == ({"a": 1}, {"a": 2})


@needs_openvino
def test_networks_are_timed_in_openvino(tmp_path: Path) -> None:
    found = measured(replace(pack(2), target=OPENVINO), [chain(40), chain(4)])
    assert found.target == OPENVINO
    assert found.version.startswith(importlib.metadata.version("openvino"))
    dense_ms, small_ms = found.latency_ms()
    assert 0 < small_ms < dense_ms
    write_profile(tmp_path / "device.json", found)
    table = json.loads((tmp_path / "device.json").read_text())
    assert table["runtime"] == {"name": "openvino", "version": found.version}
    assert read_profile(tmp_path / "device.json").target == OPENVINO


@needs_openvino
def test_openvino_computes_in_true_float32() -> None:
    generator = np.random.default_rng(0)
    model = chain(8)
    weight = generator.standard_normal((4, 4, 3, 3), dtype=np.float32) / 3  # keeps the maps' spread
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    runtimes = [runner.imported(name) for name in ("onnxruntime", "openvino")]
    ours, theirs = (runner.opened(each, model.SerializeToString(), threads=1)() for each in runtimes)
    (logits,) = theirs.values()
    # bfloat16 has 8 bits: eight layers of it are 1% off.
    np.testing.assert_allclose(logits, ours[0], atol=1e-4 * np.abs(ours[0]).max())


@needs_openvino
def test_openvino_reports_nothing_to_its_makers() -> None:
    runner.imported("openvino")
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]


def test_a_runtime_that_a_device_lacks_is_named(tmp_path: Path) -> None:
    write_pack(tmp_path / "pack.zip", replace(pack(1), target=OPENVINO), [chain(1)])
    lacking = "import runpy, sys; sys.modules['openvino'] = None; sys.argv = ['pack.zip', 'device.json']"
    command = [sys.executable, "-c", f"{lacking}; runpy.run_path('pack.zip', run_name='__main__')"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "pip install openvino" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_runtime_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_without(Runtime.ONNXRUNTIME)
    monkeypatch.setattr(measuring, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "automl-compress\[openvino\]"'):
        refuse_without(Runtime.OPENVINO)


def test_networks_too_large_for_the_memory_run_in_batches_with_the_anchor() -> None:
    assert pack(4).batches == [[0, 1, 2, 3]]
    assert pack(4, weights=1 << 28).batches == [[0, 1], [0, 2], [0, 3]]
    assert pack(3, weights=1 << 31).batches == [[0, 1], [0, 2]]


def test_a_network_that_does_not_run_is_reported() -> None:
    broken = chain(1)
    broken.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(AutoMLError, match="must run in ONNX Runtime to be timed"):
        measured(pack(1), [broken])


def test_a_truncated_profile_is_refused(profile: DeviceProfile, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    text = json.dumps(profile.to_json())
    path.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="must be readable JSON"):
        read_profile(path)


@pytest.mark.parametrize(
    "missing", ["arch", "graph", "input", "precision", "threads", "runtime", "policies", "reference", "calls"]
)
def test_a_profile_that_lacks_something_is_refused(profile: DeviceProfile, tmp_path: Path, missing: str) -> None:
    table = profile.to_json()
    del table[missing]
    path = tmp_path / "device.json"
    path.write_text(json.dumps(table))
    with pytest.raises(InputError, match="must be whole"):
        read_profile(path)


def test_a_profile_of_another_version_is_refused(profile: DeviceProfile, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps({**profile.to_json(), "format": "automl-device-profile/2"}))
    with pytest.raises(InputError, match=r"'automl-device-profile/1', but .* has 'automl-device-profile/2'"):
        read_profile(path)


def test_a_network_without_a_time_is_refused(profile: DeviceProfile) -> None:
    table = profile.to_json()
    table["policies"].append({"a": 3})
    with pytest.raises(ValueError, match="a network has no time"):
        profile_of(table)


def test_a_network_takes_the_median_of_its_batches() -> None:
    calm, odd = [[0, 2.0, 1], [1, 1.0, 1]], [[0, 2.0, 1], [1, 4.0, 1]]
    table = {
        **TARGET.to_json(),
        "created": "",
        "device": {},
        "runtime": {"name": "onnxruntime", "version": "1"},
        "policies": [{"a": 2}, {"a": 1}],
        "reference": 0,
        "calls": [calm, odd, calm],
    }
    np.testing.assert_allclose(profile_of(table).latency_ms(), [2.0, 1.0])


def test_the_anchor_is_open_several_times_in_each_batch() -> None:
    protocol = Protocol(calls=2, batch_s=0.0, repeats=2, anchors=3, least_rounds=4, most_rounds=4)
    made = replace(pack(2), protocol=protocol)
    assert made.batches == [[0, 0, 0, 1]] * 2
    times = measured(made, [chain(4), chain(2)]).times
    assert isinstance(times, CallTimes)
    first, second = times.batches
    assert [calls.summary(0).calls for calls in (first, second)] == [24, 24]
    assert [calls.summary(1).calls for calls in (first, second)] == [8, 8]
