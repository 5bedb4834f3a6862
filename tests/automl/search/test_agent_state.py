import logging
from pathlib import Path

import pytest
import torch

from automl.core.errors import RunError
from automl.search.agent_state import AgentState, read_states, write_state

IDENTITY = {"algorithm": "td3", "noise": 0.2, "seed": 0}


def state(learned: int) -> AgentState:
    return AgentState(IDENTITY, learned, f"of {learned}", 5, {"weights": torch.arange(3.0)})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_state(tmp_path / "agent", state(3))
    (found,) = read_states(tmp_path / "agent", IDENTITY)
    assert (found.learned, found.warmup) == (3, 5)
    assert torch.equal(found.learner["weights"], torch.arange(3.0))


def test_without_a_folder_there_is_no_state(tmp_path: Path) -> None:
    assert read_states(tmp_path / "none", IDENTITY) == []


def test_the_last_two_stay_and_a_truncated_one_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for learned in (1, 2, 3):
        write_state(tmp_path, state(learned))
    newest = tmp_path / "agent-000003.pt"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "agent-000002.pt", newest]
    newest.write_bytes(newest.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        found = read_states(tmp_path, IDENTITY)
    assert [each.learned for each in found] == [2]
    assert "agent-000003.pt is damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_where_none_is_whole_the_agent_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "agent-000003.pt").write_bytes(content)
    assert read_states(tmp_path, IDENTITY) == []


@pytest.mark.parametrize(
    "change",
    [{"learned": "3"}, {"warmup": 0.5}, {"history": None}, {"identity": []}, {"learner": [1]}],
)
def test_what_is_of_another_kind_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    write_state(tmp_path, state(3))
    path = tmp_path / "agent-000003.pt"
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    assert read_states(tmp_path, IDENTITY) == []


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save({"format": "automl-agent/1", "learned": print}, tmp_path / "agent-000003.pt")
    assert read_states(tmp_path, IDENTITY) == []


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    write_state(tmp_path, state(3))
    with pytest.raises(RunError, match=r"noise was 0\.2 and is 0\.3\. Set them back, or delete") as refused:
        read_states(tmp_path, {**IDENTITY, "noise": 0.3})
    assert "seed" not in str(refused.value)
    assert refused.value.exit_code == 2
