import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from automl.pipeline.conversation import Conversation
from automl.pipeline.runs import start_run
from automl.store.config import RunConfig
from automl.store.run import Run
from tests.hostile.door import Door
from tests.hostile.network import SPEC

# The same examples each time, and nothing is kept: a failure is told by the message alone.
settings.register_profile(
    "hostile",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("hostile")
set_hypothesis_home_dir(tempfile.gettempdir())


@pytest.fixture
def door(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Door:
    home = tmp_path / "home"
    home.mkdir()
    return Door(home, capsys, monkeypatch)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search, as the product leaves it."""
    config = RunConfig(
        SPEC, "digits", ("0.6flops",), engine="random", trials=3, epochs=1, finetune_epochs=1, limit=240, device="cpu"
    )
    run, _ = start_run(config, tmp_path_factory.mktemp("whole"), "whole", ["automl"], Conversation.silent())
    return run.path


@pytest.fixture
def run(whole_run: Path, door: Door) -> Run:
    """A copy of the finished search, as the run `mine` of the door's folder; its code is named by `--model SPEC`."""
    path = door.home / "runs" / "mine"
    shutil.copytree(whole_run, path)
    return Run(path)


@pytest.fixture
def coded(door: Door) -> Path:
    """A module that leaves a file when it is imported; commands must not."""
    (door.home / "evil.py").write_text("open('imported', 'w').close()\ndef net():\n    pass\n")
    return door.home / "imported"


def edited(path: Path, **changes: object) -> None:
    """Changes some entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file of these files, name -> content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
