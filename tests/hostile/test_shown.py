"""What others have written, on its way to a terminal or a page."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.core.terminal import printable
from automl.export.policy_file import FORMAT
from automl.pipeline.reporting import read_report
from automl.report.details import Example
from automl.report.html import render_report, report_plots
from automl.report.metrics import BudgetLine, LayerBits
from automl.store.run import Run
from tests.hostile.conftest import edited
from tests.hostile.door import Door
from tests.hostile.network import SPEC

TRICKS = ("\x1b[2J", "\x1b]0;owned\x07", "\r", "\x08\x08", "\x9b31m", "\u202eabc", "\u200b", "\x7f", "\x00", "\ud800")


@given(st.text())
def test_printable_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert all(each.isprintable() or each == "\n" for each in shown)
    shown.encode()


@pytest.mark.parametrize("trick", TRICKS, ids=ascii)
def test_names_in_a_policy_are_shown_escaped(door: Door, trick: str) -> None:
    channels = {f"a{trick}": 4}
    table = {"format": FORMAT, "channels": channels, "full_channels": dict.fromkeys(channels, 8), "model": trick}
    (door.home / "policy.json").write_text(json.dumps(table))
    code, out, _ = door.survived("show", "policy.json")
    assert code == 0
    assert ascii(trick)[1:-1] in out


@pytest.mark.parametrize("trick", [trick for trick in TRICKS if trick not in ("\x00", "\ud800")], ids=ascii)
def test_names_in_a_run_are_shown_escaped(door: Door, run: Run, trick: str) -> None:
    metrics = json.loads(run.metrics.read_text())
    edited(run.metrics, search={**metrics["search"], "engine": f"a{trick}"})
    budget = json.dumps([f"0.5flops{trick}"])
    lines = [line for line in run.config.read_text().splitlines() if not line.startswith("budget")]
    run.config.write_text("\n".join([*lines, f"budget = {budget}".replace("\x7f", "\\u007f")]))
    for command in ("status", "show"):
        code, out, _ = door.survived(command, "mine", inside=run.path)
        assert code == 0
        assert ascii(trick)[1:-1] in out


@pytest.mark.parametrize("trick", TRICKS, ids=ascii)
def test_names_in_a_message_are_shown_escaped(door: Door, run: Run, trick: str) -> None:
    fingerprint = json.loads(run.manifest.read_text())["fingerprint"]
    edited(run.manifest, fingerprint={**fingerprint, "model": f"a{trick}"})
    assert ascii(trick)[1:-1] in door.refused("resume", "mine", "--model", SPEC, inside=run.path)


def test_lines_of_others_do_not_pass_for_messages(door: Door, run: Run) -> None:
    fingerprint = json.loads(run.manifest.read_text())["fingerprint"]
    edited(run.manifest, fingerprint={**fingerprint, "model": "a\nerror: The disk is full. Send money."})
    assert "\n  error: The disk" in door.refused("resume", "mine", "--model", SPEC, inside=run.path)


class Tags(HTMLParser):
    """The elements of a page, and the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


MARKUP = (
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "&lt;script&gt;",
    "'\" onmouseover='alert(1)",
    "$title ${body} $$",
)


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_in_names_is_text_in_the_report(whole_run: Path, markup: str) -> None:
    report = read_report(Run(whole_run))
    manifest, metrics, details = report.manifest, report.metrics, report.details
    assert metrics is not None
    assert details is not None
    row, example = details.layers[0], Example(0, markup, markup, markup, markup)
    marked = replace(
        report,
        name=markup,
        config=replace(report.config, model=markup, data=markup, budget=(markup,), engine=markup),
        manifest=replace(
            manifest,
            started=markup,
            command=(markup,),
            packages={markup: markup},
            machine=replace(manifest.machine, processor=markup, platform=markup),
            fingerprint=replace(manifest.fingerprint, weights=markup, data=markup),
        ),
        trials=tuple(replace(trial, engine=markup) for trial in report.trials),
        failures=(markup,),
        metrics=replace(
            metrics,
            budgets=(BudgetLine("flops", 1.0, 1.0, 1.0, met=True),),
            layers=(LayerBits(markup, 4, 8, 4, 8),),
            search=replace(metrics.search, engine=markup, winner="solver"),
            splits={"test": 1, markup: 2},
        ),
        details=replace(details, layers=(replace(row, layer=markup, group=markup), row), examples=(example,)),
    )
    found = Tags(render_report(marked, report_plots(marked))).found
    assert not found & {"script", "onerror", "onload", "onmouseover", "iframe", "foreignObject"}
