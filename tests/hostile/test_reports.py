"""Folders of runs in which something else lies than we write, on their way to a report or a comparison."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.core.errors import InputError
from automl.pipeline.reporting import render_run
from automl.store.run import Run
from tests.automl.report.pages import check_page
from tests.hostile.door import Door
from tests.hostile.values import NO_JSON, changed

FILES = {"metrics": "best/metrics.json", "details": "state/report.json", "manifest": "manifest.json"}
"""What a report is made of -> the file in the run's folder."""


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_report_of_what_we_did_not_write_is_refused(door: Door, run: Run, file: str, content: bytes) -> None:
    (run.path / file).write_bytes(content)
    door.refused("report", "mine", inside=run.path)


@pytest.mark.parametrize("name", ["text", "zeros", "pickle", "empty", "an empty object"])
def test_answers_that_we_did_not_write_are_refused(door: Door, run: Run, name: str) -> None:
    run.answers.write_bytes(NO_JSON[name])
    for command in (("report", "mine"), ("compare", "mine", "mine")):
        door.refused(*command, inside=run.path)


@pytest.fixture(scope="module")
def copied(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    path = tmp_path_factory.mktemp("copied") / "whole"
    shutil.copytree(whole_run, path)
    yield Run(path)
    shutil.rmtree(path)


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
@given(data=st.data())
def test_a_report_with_one_place_changed_is_shown_or_refused(
    whole_run: Path, copied: Run, file: str, data: st.DataObject
) -> None:
    whole = (whole_run / file).read_text()
    (copied.path / file).write_text(json.dumps(data.draw(changed(json.loads(whole)))))
    with suppress(InputError):
        check_page(render_run(copied).read_text(encoding="utf-8"))
    (copied.path / file).write_text(whole)
