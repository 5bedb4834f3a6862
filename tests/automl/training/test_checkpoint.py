from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from automl.core.errors import RunError, StorageError
from automl.training.checkpoint import Checkpoint, Identity, Kept, read_checkpoint, write_checkpoint
from automl.training.recipe import baseline_recipe
from automl.training.score import Score

CPU = torch.device("cpu")
IDENTITY = Identity("abc", 7, baseline_recipe(1_000))


def checkpoint(epoch: int = 3) -> Checkpoint:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    kept = Kept(2, Score(5, 10, 1.5), model.state_dict())
    return Checkpoint(epoch, 1.25, model.state_dict(), optimizer.state_dict(), schedule.state_dict(), kept)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path, written = tmp_path / "deep" / "training.pt", checkpoint()
    write_checkpoint(path, written, IDENTITY)
    read = read_checkpoint(path, IDENTITY, CPU)
    assert read is not None
    assert (read.epoch, read.seconds, read.kept.epoch, read.kept.score) == (3, 1.25, 2, Score(5, 10, 1.5))
    assert torch.equal(read.model["weight"], written.model["weight"])
    assert torch.equal(read.kept.weights["bias"], written.kept.weights["bias"])
    assert read.optimizer == written.optimizer
    assert read.schedule == written.schedule


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "training.pt", IDENTITY, CPU) is None


def test_no_other_file_is_left_beside_it(tmp_path: Path) -> None:
    for epoch in (1, 2):
        write_checkpoint(tmp_path / "training.pt", checkpoint(epoch), IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (replace(IDENTITY, fingerprint="xyz"), "fingerprint was 'abc' and is 'xyz'"),
        (replace(IDENTITY, seed=8), "seed was 7 and is 8"),
        (replace(IDENTITY, recipe=replace(IDENTITY.recipe, epochs=99)), "epochs was 30 and is 99"),
    ],
)
def test_another_trainings_checkpoint_is_refused(tmp_path: Path, other: Identity, difference: str) -> None:
    path = tmp_path / "training.pt"
    write_checkpoint(path, checkpoint(), IDENTITY)
    with pytest.raises(RunError, match=difference):
        read_checkpoint(path, other, CPU)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def _other_content(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def _text(path: Path) -> None:
    path.write_text("not a checkpoint")


@pytest.mark.parametrize("damage", [_truncate, _other_content, _text])
def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "training.pt"
    write_checkpoint(path, checkpoint(), IDENTITY)
    damage(path)
    with pytest.raises(RunError, match="Delete it to train from the start"):
        read_checkpoint(path, IDENTITY, CPU)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="must be writable"):
        write_checkpoint(tmp_path / "file" / "training.pt", checkpoint(), IDENTITY)


def test_a_write_that_fails_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "training.pt"
    write_checkpoint(path, checkpoint(epoch=1), IDENTITY)

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_checkpoint(path, checkpoint(epoch=2), IDENTITY)
    read = read_checkpoint(path, IDENTITY, CPU)
    assert read is not None
    assert read.epoch == 1
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]
