from pathlib import Path

import pytest

from automl.core.errors import RunError
from automl.report.details import Details, read_details, write_details


def test_details_survive_the_way_through_their_file(tmp_path: Path, details: Details) -> None:
    for written in (details, Details("", (), (), ())):
        write_details(tmp_path / "report.json", written)
        assert read_details(tmp_path / "report.json") == written


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"format": "automl-report/0"}', '{"format": 3'])
def test_a_missing_damaged_or_foreign_file_is_refused_with_the_way_out(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match="automl resume"):
        read_details(path)
