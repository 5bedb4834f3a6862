import json
from pathlib import Path
from typing import Any

import pytest

from automl.core.bits import BitWidths
from automl.core.errors import PolicyError
from automl.core.policy import CompressionPolicy
from automl.export.policy_file import PolicyFile, read_policy, write_policy

POLICY = CompressionPolicy({"stem": 8, "block.conv": 24}, {"stem": BitWidths(8, 8), "fc": BitWidths(4, 32)})
WHOLE = PolicyFile(POLICY, "timm:resnet18", (3, 224, 224), 10, {"stem": 16, "block.conv": 64})


def write(folder: Path, **changes: Any) -> Path:
    """The least policy file, with `changes`."""
    path = folder / "policy.json"
    path.write_text(json.dumps({"format": "automl-policy/1", "channels": {"stem": 8}} | changes))
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_policy(tmp_path / "policy.json", WHOLE)
    assert read_policy(tmp_path / "policy.json") == WHOLE


def test_the_file_is_json_that_says_what_it_is(tmp_path: Path) -> None:
    write_policy(tmp_path / "policy.json", WHOLE)
    assert json.loads((tmp_path / "policy.json").read_text()) == {
        "format": "automl-policy/1",
        "model": "timm:resnet18",
        "input_shape": [3, 224, 224],
        "classes": 10,
        "channels": {"block.conv": 24, "stem": 8},
        "full_channels": {"block.conv": 64, "stem": 16},
        "bits": {"fc": {"weight": 4, "activation": 32}, "stem": {"weight": 8, "activation": 8}},
        "digest": POLICY.digest(),
    }


def test_a_hand_written_file_needs_format_and_channels_only(tmp_path: Path) -> None:
    assert read_policy(write(tmp_path)) == PolicyFile(CompressionPolicy({"stem": 8}))


def test_a_dropped_branch_is_written_as_0(tmp_path: Path) -> None:
    dropped = PolicyFile(CompressionPolicy({"stem": 8, "block.conv": 0}), full_channels={"stem": 16, "block.conv": 64})
    write_policy(tmp_path / "policy.json", dropped)
    assert read_policy(tmp_path / "policy.json") == dropped


def test_a_digest_of_another_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="digest"):
        read_policy(write(tmp_path, digest="0" * 64))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "automl-policy/2"}, "has the format 'automl-policy/2'"),
        ({"channels": None}, "has no 'channels'"),
        ({"channels": [8]}, "'channels' that is no object"),
        ({"channels": {"stem": -1}}, "has -1 for 'stem' in 'channels', which is no count of 0 or more"),
        ({"full_channels": {"stem": 0}}, "has 0 for 'stem' in 'full_channels', which is no count of 1 or more"),
        ({"channels": {"stem": 0.5}}, "has 0.5 for 'stem'"),
        ({"channels": {"stem": True}}, "has True for 'stem'"),
        ({"full_channels": {"stem": "16"}}, "has '16' for 'stem' in 'full_channels'"),
        ({"bits": {"stem": 8}}, "has the bits 8 for 'stem'"),
        ({"bits": {"stem": {"weight": 8}}}, "which are no weight and activation"),
        ({"bits": {"stem": {"weight": 64, "activation": 8}}}, "of 1 to 32"),
        ({"bits": [8]}, "'bits' that is no object"),
        ({"input_shape": [3, 224]}, "has the input shape"),
        ({"classes": 0}, "has 0 classes"),
        ({"model": 3}, "has the model 3"),
        ({"chanels": {}}, "says 'chanels'"),
    ],
)
def test_a_malformed_file_is_refused_with_what_is_wrong(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(PolicyError, match=complaint):
        read_policy(write(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 100_000])
def test_what_is_no_json_object_is_refused_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match="The least is"):
        read_policy(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="readable JSON"):
        read_policy(tmp_path / "policy.json")
