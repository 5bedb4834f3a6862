from dataclasses import replace

import pytest

from automl.core.errors import InputError
from automl.runtime.target import Runtime, Target, find_runtime

TARGET = Target("tests:chain", "digest", (4, 8, 8), "int8", 2, Runtime.OPENVINO)


def test_a_target_survives_the_way_through_json() -> None:
    assert Target.from_json(TARGET.to_json()) == TARGET
    assert Target.from_json(replace(TARGET, runtime=Runtime.ONNXRUNTIME).to_json()) != TARGET


def test_a_profile_says_the_version_beside_the_runtime() -> None:
    table = {**TARGET.to_json(), "runtime": {"name": "openvino", "version": "2026.4"}}
    assert Target.from_json(table) == TARGET


@pytest.mark.parametrize(
    ("name", "value"), [("runtime", "tflite"), ("precision", "fp16"), ("threads", "two"), ("input", [3, 8])]
)
def test_what_is_no_target_is_refused(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"."):
        Target.from_json({**TARGET.to_json(), name: value})


def test_a_runtime_of_another_name_is_not_ours() -> None:
    assert Target.from_json({**TARGET.to_json(), "runtime": {"name": "tflite"}}).runtime is Runtime.OTHER
    with pytest.raises(InputError, match="got 'other'"):
        find_runtime("other")


def test_a_runtime_is_found_by_its_name() -> None:
    assert find_runtime("openvino").label == "OpenVINO"
    assert find_runtime("onnxruntime").label == "ONNX Runtime"
    with pytest.raises(InputError, match=r"`--runtime` must be one of onnxruntime, openvino, but got 'ort'"):
        find_runtime("ort")
