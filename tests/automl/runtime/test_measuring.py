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
from automl.runtime.call_times import CallTimes
from automl.runtime.device_profile import DeviceProfile, profile_of, read_profile, write_profile
from automl.runtime.measuring import measured
from automl.runtime.pack import Pack, Protocol, write_pack
from automl.runtime.target import Target

SHORT = Protocol(calls=2, batch_s=0.0, repeats=1, anchors=1, least_rounds=8, most_rounds=8)
TARGET = Target("tests:chain", "digest", (4, 8, 8), "fp32", 1)


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
    assert profile.runtime == "onnxruntime"
    dense_ms, small_ms = profile.latency_ms()
    assert dense_ms == pytest.approx(calls.summary(0).p10_ms)
    assert 0 < small_ms < dense_ms


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
