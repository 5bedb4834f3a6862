"""Words and marks stand out from their ground as WCAG 2.2 asks (1.4.3 and 1.4.11), in light and in dark."""

import re

import pytest

from automl.report.html import Report, render_report, report_plots

_WORDS, _MARKS = 4.5, 3.0
_DARK = "@media screen and (prefers-color-scheme"


def luminance(color: str) -> float:
    """By WCAG's definition, of `#rrggbb`."""
    shares = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_published_examples() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # just too pale for words


def themes(style: str) -> dict[str, str]:
    light, dark = style.split(_DARK)
    return {"light": light, "dark": dark}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_of_the_page_can_be_read(report: Report, theme: str) -> None:
    html = render_report(report, {})
    style = themes(html[: html.index("</style>")])[theme]
    colors = dict(re.findall(r"--(\w+): (#\w{6})", style))
    assert set(colors) == {"paper", "ink", "soft", "rule"}
    pale = {name: contrast(colors[name], colors["paper"]) for name in ("ink", "soft")}
    assert min(pale.values()) >= _WORDS, pale


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_marks_of_the_plots_can_be_told_from_their_ground(report: Report, theme: str) -> None:
    plots = report_plots(report).values()
    used = {name for svg in plots for name in re.findall(r'<text class="(\w+)"', svg)}
    drawn = {name for svg in plots for name in re.findall(r'class="[fl] (\w+)"', svg)} - {"grid"}
    style = themes(re.findall(r"<style>(.*?)</style>", next(iter(plots)))[0])[theme]
    (paper,) = re.findall(r"\.paper\{fill:(#\w{6})", style)
    words = dict(re.findall(r"text\.(\w+)\{fill:(#\w{6})", style))
    marks = dict(re.findall(r"\.f\.(\w+)\{fill:(#\w{6})", style))
    assert used
    assert drawn
    pale = {name: ratio for name in used if (ratio := contrast(words[name], paper)) < _WORDS}
    dim = {name: ratio for name in drawn if (ratio := contrast(marks[name], paper)) < _MARKS}
    assert (pale, dim) == ({}, {})
