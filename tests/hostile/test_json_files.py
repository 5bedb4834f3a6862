"""Manifests, metrics, policies, channel lists and device profiles that are not what we write."""

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from automl.core.errors import InputError
from automl.core.policy import CompressionPolicy
from automl.export.policy_file import FORMAT, read_policy
from automl.pipeline.profiling import target_of
from automl.pipeline.subject import open_space
from automl.report.console import show_result
from automl.report.metrics import read_metrics
from automl.runtime.device_profile import read_profile, write_profile
from automl.store.config import RunConfig
from automl.store.manifest import read_manifest
from automl.store.run import Run
from tests.devices import by_macs, profile
from tests.hostile.conftest import edited
from tests.hostile.door import Door
from tests.hostile.network import SPEC
from tests.hostile.values import NO_JSON, changed

each_content = pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)


@each_content
def test_what_is_no_manifest_is_refused(door: Door, run: Run, content: bytes) -> None:
    run.manifest.write_bytes(content)
    assert "manifest" in door.refused("resume", "mine", "--model", SPEC, inside=run.path)


@each_content
@pytest.mark.parametrize("command", ["status", "show"])
def test_what_are_no_metrics_is_refused(door: Door, run: Run, command: str, content: bytes) -> None:
    run.metrics.write_bytes(content)
    assert "metrics" in door.refused(command, "mine", inside=run.path)


@each_content
def test_what_is_no_policy_is_refused(door: Door, content: bytes) -> None:
    (door.home / "policy.json").write_bytes(content)
    door.refused("show", "policy.json")
    door.refused("describe", SPEC, "--policy", "policy.json")


@pytest.mark.parametrize("name", ["text", "deep list", "twice", "beyond 64 bits", "pickle"])
def test_the_policy_of_a_run_is_held_to_the_same(door: Door, run: Run, name: str) -> None:
    run.policy.write_bytes(NO_JSON[name])
    door.refused("export", "mine", "--model", SPEC, inside=run.path)


@each_content
def test_what_is_no_device_profile_is_refused(door: Door, content: bytes) -> None:
    (door.home / "device.json").write_bytes(content)
    door.refused("search", "--model", SPEC, "--budget=0.5latency", "--target", "device.json")


@pytest.mark.parametrize("schema", [0, 1, 3, -1, 2.0, "2", None, [], True, 10**15])
def test_a_manifest_of_another_version_is_refused(door: Door, run: Run, schema: object) -> None:
    edited(run.manifest, schema=schema)
    door.refused("resume", "mine", "--model", SPEC, inside=run.path)


@pytest.mark.parametrize(
    "fingerprint",
    [{}, [], {"model": 1}, None, "x", {"model": "a", "weights": "b", "data": [], "space": "", "budget": ""}],
)
def test_a_manifest_without_a_fingerprint_is_refused(door: Door, run: Run, fingerprint: object) -> None:
    edited(run.manifest, fingerprint=fingerprint)
    door.refused("resume", "mine", "--model", SPEC, inside=run.path)


POLICIES: dict[str, dict[str, Any]] = {
    "no format": {"channels": {"0": 8}},
    "another format": {"format": "automl-policy/2", "channels": {}},
    "an unknown entry": {"__class__": "os.system"},
    "a fraction": {"channels": {"0": 4.5}},
    "a truth": {"channels": {"0": True}},
    "less than nothing": {"channels": {"0": -4}},
    "more than there are": {"channels": {"0": 9}},
    "a group of another network": {"channels": {"../../x": 4}},
    "an escape": {"channels": {"\x1b[2J": 4}},
    "a list of channels": {"channels": [4, 8]},
    "no bits": {"bits": {"0": {"weight": 0, "activation": 8}}},
    "half the bits": {"bits": {"0": {"weight": 8}}},
    "bits of one layer": {"bits": {"0": {"weight": 8, "activation": 8}}},
    "bits of another network": {"bits": {"x": {"weight": 8, "activation": 8}}},
    "a foreign digest": {"digest": "0" * 64},
    "a digest that is none": {"digest": ["x"]},
    "huge images": {"input_shape": [1, 10**9, 10**9]},
    "no images": {"input_shape": [1, 0, 0]},
    "flat images": {"input_shape": [1, 16]},
    "many classes": {"classes": 10**12},
    "no classes": {"classes": 0},
    "a model that is none": {"model": {"pkg": "evil"}},
    "other full channels": {"full_channels": {"0": 10**9}},
    "no full channels": {"full_channels": {"0": 0}},
}


@pytest.mark.parametrize("change", POLICIES.values(), ids=POLICIES)
def test_a_policy_that_does_not_fit_is_refused(door: Door, change: dict[str, Any]) -> None:
    whole = {"channels": {"0": 8}} if "format" not in change and "channels" in change and len(change) == 1 else {}
    table = {"format": FORMAT, "channels": {"0": 8}, **whole, **change}
    if change == POLICIES["no format"]:
        del table["format"]
    (door.home / "policy.json").write_text(json.dumps(table))
    door.refused(
        "describe", SPEC, "--policy", "policy.json", "--input-size", *([] if "input_shape" in change else ["16"])
    )


LISTS: dict[str, object] = {
    "too short": [1],
    "too long": [1] * 500,
    "nothing kept": [1, 0, 0],
    "more than there are": [1, 9, 99],
    "far more": [1, 2**62, 2**62],
    "other images": [3, 4, 8],
    "texts": ["1", "4", "8"],
    "under a key": {"channels": [1, 999, 8]},
    "GluonCV": {"resnetv1d_layers2_conv4_weight": [64, 64, 3, 3]},
    "GluonCV of no layer": {"resnetv1d_xx_weight": [1]},
    "GluonCV without a shape": {"resnetv1d_conv0_weight": []},
    "GluonCV far away": {"resnetv1d_layers99999999999_conv99999999999_weight": [1]},
}


@pytest.mark.parametrize("value", LISTS.values(), ids=LISTS)
def test_a_channel_list_that_does_not_fit_is_refused(door: Door, value: object) -> None:
    (door.home / "list.json").write_text(json.dumps(value))
    door.refused("describe", SPEC, "--policy", "list.json", "--input-size=16")


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of the tests' network."""
    config = RunConfig(SPEC, "digits", ("0.5latency",))
    _, traced, space = open_space(config, timed=True)
    path = tmp_path_factory.mktemp("device") / "device.json"
    write_profile(path, profile(traced, space.knobs, target_of(SPEC, traced.graph, "fp32", 1), by_macs(traced)))
    return path


DEVICES: dict[str, dict[str, Any]] = {
    "another format": {"format": "automl-device-profile/2"},
    "no policies": {"policies": []},
    "policies without groups": {"policies": [{}] * 33},
    "policies that are lists": {"policies": [[]] * 33},
    "a reference that is not there": {"reference": 99},
    "a reference before all": {"reference": -1},
    "no runtime": {"runtime": {}},
    "another runtime": {"runtime": {"name": "../../x", "version": "1"}},
    "another kind": {"kind": "pickle"},
    "a table of nothing": {"kind": "table", "table": []},
    "calls of nobody": {"calls": [[]]},
    "calls of texts": {"calls": [[["a", "b", "c"]]]},
    "calls in no time": {"calls": [[[number, 0.0, 1] for number in range(33)]]},
    "calls in hardly any time": {"calls": [[[number, 1e-300, 1] for number in range(33)]]},
    "calls in an eternity": {"calls": [[[number, 1e300, 1] for number in range(33)]]},
    "calls of networks far away": {"calls": [[[number * 1e300, 1.0, 1] for number in range(33)]]},
    "another input": {"input": [1, 999, 999]},
    "an input that is none": {"input": "16"},
    "another precision": {"precision": "fp64"},
    "other threads": {"threads": 64},
    "threads that are none": {"threads": [1]},
    "another network": {"graph": "0" * 64, "arch": "evil:net"},
    "a device that is none": {"device": 3},
}


@pytest.mark.parametrize("change", DEVICES.values(), ids=DEVICES)
def test_a_device_profile_that_does_not_fit_is_refused(door: Door, device: Path, change: dict[str, Any]) -> None:
    path = door.home / "device.json"
    path.write_bytes(device.read_bytes())
    edited(path, **change)
    door.refused("search", "--model", SPEC, "--budget=0.5latency", "--target", "device.json")


@pytest.mark.parametrize("width", [-1, 10**6, 2**62])
def test_widths_of_a_device_profile_are_those_of_the_network(door: Door, device: Path, width: int) -> None:
    path = door.home / "device.json"
    table = json.loads(device.read_text())
    table["policies"][7] = dict.fromkeys(table["policies"][7], width)
    path.write_text(json.dumps(table))
    door.refused("search", "--model", SPEC, "--budget=0.5latency", "--target", "device.json")


@given(st.data())
def test_a_manifest_with_one_place_changed_is_read_or_refused(
    whole_run: Path, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(data.draw(changed(json.loads((whole_run / "manifest.json").read_text())))))
    with suppress(InputError):
        read_manifest(path)


@given(st.data())
def test_metrics_with_one_place_changed_are_shown_or_refused(
    whole_run: Path, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(data.draw(changed(json.loads((whole_run / "best" / "metrics.json").read_text())))))
    with suppress(InputError):
        found = read_metrics(path)
        show_result(Console(file=io.StringIO()), found)
        json.dumps(found.to_json(), allow_nan=False)


@given(st.data())
def test_a_policy_with_one_place_changed_is_read_or_refused(
    whole_run: Path, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(data.draw(changed(json.loads((whole_run / "best" / "policy.json").read_text())))))
    with suppress(InputError):
        assert isinstance(read_policy(path).policy, CompressionPolicy)


@given(st.data())
def test_a_device_profile_with_one_place_changed_is_read_or_refused(
    device: Path, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps(data.draw(changed(json.loads(device.read_text())))))
    with suppress(InputError):
        assert (read_profile(path).latency_ms() > 0).all()
