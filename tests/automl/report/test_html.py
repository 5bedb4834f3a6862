from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from automl.core.policy import CompressionPolicy
from automl.report.html import Report, render_report, write_report
from automl.report.metrics import Metrics
from automl.report.plots import channels_svg, history_svg
from automl.store.config import RunConfig
from automl.store.manifest import Manifest
from tests.contracts.problem import SENSITIVITY, SeparableEvaluator, separable_graph


class Page(HTMLParser):
    """Collects the elements, their attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def report(config: RunConfig, manifest: Manifest, metrics: Metrics) -> Report:
    uniform = SeparableEvaluator()(CompressionPolicy(dict.fromkeys(SENSITIVITY, 16)))
    plots = {
        "history": history_svg([uniform], uniform),
        "channels": channels_svg(separable_graph(), {"block0": 8}),
    }
    return Report("mine-2", config, manifest, metrics, plots)


def test_the_page_tells_result_budgets_splits_and_environment(report: Report) -> None:
    text = Page(render_report(report)).text
    told = {"automl: mine-2", "Fine-tuned", "96.9%", "75.20M (25.0%)", "NO", "360 images", "A CPU, 2 cores, Linux"}
    assert told <= set(text)


def test_the_page_says_how_latency_was_measured_where_it_was(report: Report, timed: Metrics) -> None:
    assert "Latency" not in Page(render_report(report)).text
    text = Page(render_report(replace(report, metrics=timed))).text
    assert {"Latency", "Raw median", "Exported, in float", "1,000", "50.0%"} <= set(text)


def test_the_page_says_how_far_its_numbers_can_be_trusted(report: Report) -> None:
    html = render_report(report)
    assert "The test images were opened once" in html
    assert "The search saw only its own split" in html
    assert "no labels" not in html
    agreement = replace(report, metrics=replace(report.metrics, accuracy_is="agreement"))
    assert "The data has no labels" in render_report(agreement)


def test_the_plots_are_inside(report: Report) -> None:
    html = render_report(report)
    assert Page(html).tags.count("svg") == 2
    assert "<?xml" not in html
    assert html.count("<!DOCTYPE") == 1


def test_the_page_loads_nothing(report: Report) -> None:
    page = Page(render_report(report))
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    loading = {"src", "href", "xlink:href", "data", "srcset"}
    targets = [value for name, value in page.attributes if name in loading]
    assert all(value is not None and value.startswith("#") for value in targets)


def test_texts_of_the_user_are_escaped(report: Report, config: RunConfig, manifest: Manifest) -> None:
    evil = "<script>alert('$title')</script>"
    html = render_report(
        replace(
            report,
            name=evil,
            config=replace(config, model=evil, data=evil),
            manifest=replace(manifest, command=("automl", evil)),
        )
    )
    assert "script" not in Page(html).tags
    assert html.count("&lt;script&gt;alert(&#x27;$title&#x27;)&lt;/script&gt;") == 5


def test_the_page_is_written_as_a_file(tmp_path: Path, report: Report) -> None:
    write_report(tmp_path / "report.html", report)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_report(report)


def test_the_page_of_a_quantized_network_has_its_layers(report: Report, rounded: Metrics) -> None:
    text = Page(render_report(replace(report, metrics=rounded))).text
    assert {"Bits", "Quantized", "+0.5 pt", "stem", "odd", "simulated", "float"} <= set(text)
    assert "Bits" not in Page(render_report(report)).text
