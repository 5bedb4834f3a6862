import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.interval import Estimate
from benchmarks.options import Options, parser, shared
from benchmarks.report import Details, Report, Row, plus_minus, publish


def row(held: bool | None) -> Row:
    return Row("net, 25.0% of MACs", 0.875, "peer 86.2%", 0.013, "points", (-0.002, 0.028), "first", held)


def shown(report: Report, options: Options) -> tuple[int, str]:
    file = io.StringIO()
    code = publish(report, options, Console(file=file, width=200))
    return code, file.getvalue()


@pytest.mark.parametrize(("held", "code"), [((True, None), 0), ((True, False), 1), ((None,), 0), ((), 0)])
def test_the_exit_code_is_one_if_a_target_is_missed(held: tuple[bool | None, ...], code: int) -> None:
    report = Report("benchmarks.peers", tuple(row(each) for each in held))
    assert report.exit_code == code
    assert shown(report, Options(False, None, (0,)))[0] == code


def test_a_row_says_everything_in_points() -> None:
    _, text = shown(Report("benchmarks.peers", (row(False),)), Options(False, None, (0, 1)))
    for expected in ("87.5%", "peer 86.2%", "+1.3", "-0.2 to +2.8", "first", "NO", "seeds 0, 1", "thread(s)"):
        assert expected in text


def test_a_ratio_is_shown_as_one() -> None:
    ratio = Row("search s", 12.0, "FastNAS 48 s", 0.25, "ratio", None, "<= 1/3", True)
    _, text = shown(Report("benchmarks.peers", (ratio,)), Options(False, None, (0,)))
    assert "0.25x" in text
    assert "12" in text


def test_the_json_file_holds_rows_details_and_machine(tmp_path: Path) -> None:
    details = Details("Net", ("method", "after"), (("ours", "87.5%"),))
    report = Report("benchmarks.peers", (row(True),), (details,), ("FastNAS: left out",))
    path = tmp_path / "made" / "report.json"
    shown(report, Options(True, path, (0,)))
    read = json.loads(path.read_text())
    assert read["rows"][0]["compared"] == 0.013
    assert read["rows"][0]["ci95"] == [-0.002, 0.028]
    assert read["details"][0]["rows"] == [["ours", "87.5%"]]
    assert read["notes"] == ["FastNAS: left out"]
    assert read["quick"] is True
    assert "torch" in read["machine"]


def test_seeds_count_from_zero_and_a_quick_look_has_one() -> None:
    made = parser("A benchmark.", seeds=3)
    assert shared(made.parse_args([])).seeds == (0, 1, 2)
    assert shared(made.parse_args(["--quick"])).seeds == (0,)
    assert shared(made.parse_args(["--quick", "--seeds", "2"])).seeds == (0, 1)
    with pytest.raises(SystemExit):
        made.parse_args(["--seeds", "0"])


def test_a_score_stands_beside_half_of_its_interval() -> None:
    assert plus_minus(Estimate(0.8294, (0.8162, 0.8426))) == "0.829 ± 0.013"
    assert plus_minus(Estimate(0.8294, None)) == "0.829"
