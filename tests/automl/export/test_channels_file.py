from pathlib import Path

from automl.core.policy import CompressionPolicy
from automl.export.channels_file import write_channels
from automl.pipeline.describing import read_policy_content
from tests.branched import branched_graph

NARROW = CompressionPolicy({"s": 12, "a": 3, "b": 2})
DROPPED = CompressionPolicy({"s": 12, "a": 0, "b": 0})


def test_the_list_is_one_line_of_json_that_describe_reads(tmp_path: Path) -> None:
    write_channels(tmp_path / "channels.json", branched_graph(), NARROW)
    assert (tmp_path / "channels.json").read_text() == "[3, 12, 3, 2, 12]\n"
    assert read_policy_content(tmp_path / "channels.json") == (3, 12, 3, 2, 12)


def test_where_no_list_says_the_policy_none_is_left_of_the_one_before(tmp_path: Path) -> None:
    write_channels(tmp_path / "channels.json", branched_graph(), NARROW)
    write_channels(tmp_path / "channels.json", branched_graph(), DROPPED)
    assert not (tmp_path / "channels.json").exists()
    write_channels(tmp_path / "channels.json", branched_graph(), DROPPED)
