import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.core.errors import InputError
from automl.runtime.call_times import CallTimes
from automl.runtime.device_profile import DeviceProfile, profile_of, read_profile, write_profile
from automl.runtime.table_times import TableTimes
from automl.runtime.target import Runtime, Target
from tests.pixel1 import pixel1_times

TARGET = Target("tests:chain", "digest", (4, 8, 8), "fp32", 1, Runtime.OTHER)
TIMES = TableTimes((12.5, {"a": 1.0, "b": 2.5, "pool": 0.25}))
PROFILE = DeviceProfile(
    TARGET, "2026-01-01T00:00:00Z", {"name": "phone"}, "a tool 1", "", ({"a": 2}, {"a": 1}), 0, TIMES
)


def test_a_network_takes_the_sum_of_its_layers() -> None:
    np.testing.assert_array_equal(PROFILE.latency_ms(), [12.5, 3.75])


def test_how_quiet_the_device_was_is_not_known() -> None:
    assert PROFILE.clean is None
    assert PROFILE.drift is None


def test_a_table_is_written_and_read_back(tmp_path: Path) -> None:
    write_profile(tmp_path / "device.json", PROFILE)
    table = json.loads((tmp_path / "device.json").read_text())
    assert table["kind"] == "table"
    assert table["table"] == [{"ms": 12.5}, {"layers": {"a": 1.0, "b": 2.5, "pool": 0.25}}]
    assert read_profile(tmp_path / "device.json") == PROFILE


def test_a_profile_without_a_kind_is_one_of_calls() -> None:
    table = {name: value for name, value in PROFILE.to_json().items() if name not in {"kind", "table"}}
    table |= {"calls": [[[0, 2.0, 1], [1, 1.0, 1]]], "runtime": {"name": "onnxruntime", "version": "9.9"}}
    profile = profile_of(table)
    assert isinstance(profile.times, CallTimes)
    assert profile.to_json() == {**table, "kind": "calls"}
    with pytest.raises(ValueError, match="the runtime is 'tflite'"):  # our runner has none of that name
        profile_of({**table, "runtime": {"name": "tflite", "version": "2"}})


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("table", [{"ms": 1.0}]),  # two networks
        ("table", [{"ms": 1.0}, {}]),
        ("table", [{"ms": 1.0}, {"ms": 0.0}]),
        ("table", [{"ms": 1.0}, {"ms": None}]),
        ("table", [{"ms": 1.0}, {"layers": {}}]),
        ("table", [{"ms": 1.0}, {"layers": [1.0]}]),
        ("table", [{"ms": 1.0}, {"layers": {"a": -1.0}}]),
        ("table", [{"ms": 1.0}, {"ms": 1.0, "layers": {"a": 1.0}}]),
        ("tables", [{"ms": 1.0}, {"ms": 1.0}]),
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path: Path, kind: str, rows: list[Any]) -> None:
    (tmp_path / "device.json").write_text(json.dumps({**PROFILE.to_json(), "kind": kind, "table": rows}))
    with pytest.raises(InputError, match="must be whole"):
        read_profile(tmp_path / "device.json")


def test_layers_are_found_by_name_where_every_network_has_them() -> None:
    whole = replace(TIMES, networks=({"b": 3.0, "a": 2.0}, {"a": 1.0, "b": 2.5, "pool": 0.25}, 7.0))
    np.testing.assert_array_equal(whole.layers_ms(["a", "b"], [0, 1]), [[2.0, 3.0], [1.0, 2.5]])
    assert whole.layers_ms(["a", "b"], [0, 1, 2]) is None  # the last network is known as a whole
    assert whole.layers_ms(["conv1", "conv2"], [0, 1]) is None


def test_a_network_that_lacks_a_layer_is_refused() -> None:
    short = TableTimes(({"a": 2.0, "b": 3.0}, {"a": 1.0}))
    with pytest.raises(InputError, match=r"all 2 layers .* network 1 lacks 1, such as 'b'"):
        short.layers_ms(["a", "b"], [0, 1])


def test_logs_of_a_pixel_1_give_amcs_speed_ups(tmp_path: Path) -> None:
    dense_ms, *smaller_ms = pixel1_times(tmp_path).latency_ms()
    np.testing.assert_allclose([dense_ms, *smaller_ms], [122.5, 71.9, 68.2, 62.8], rtol=0.01)
    _, half_flops, half_time = dense_ms / np.array(smaller_ms)
    assert half_flops == pytest.approx(1.80, abs=0.005)
    assert half_time == pytest.approx(1.95, abs=0.005)
