from dataclasses import replace
from xml.etree import ElementTree

import pytest

from automl.report.svg import Drawing, Entry, Scale, legend, shortened


def test_a_scale_leads_from_values_to_pixels_with_a_little_room() -> None:
    scale = Scale.of((0.0, 100.0), 0, 112)
    assert (scale(-6.0), scale(50.0), scale(106.0)) == pytest.approx((0, 56, 112))
    assert scale.ticks() == [0, 20, 40, 60, 80, 100]


def test_a_logarithmic_scale_gives_the_same_room_to_the_same_ratio() -> None:
    scale = Scale.of((0.01, 1.0), 0, 100, logarithmic=True)
    assert scale(0.1) - scale(0.01) == pytest.approx(scale(1.0) - scale(0.1))
    assert scale.ticks() == [0.01, 0.1, 1.0]


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-12, 5e9, -3.0])
def test_one_value_alone_has_a_scale(value: float) -> None:
    scale = Scale.of((value,), 0, 100)
    assert scale(value) == pytest.approx(50)
    assert 1 <= len(scale.ticks()) <= 8


def test_ticks_are_few_and_inside_whatever_the_range() -> None:
    for low, high in ((0.0, 1e-9), (0.123, 0.1234), (-5.0, 7.0), (1e6, 9e6), (99.0, 100.0)):
        scale = Scale.of((low, high), 0, 100)
        ticks = scale.ticks()
        assert 2 <= len(ticks) <= 8
        assert all(scale.low <= tick <= scale.high for tick in ticks)


@pytest.mark.parametrize("last", [1, 2, 3, 40, 1000])
def test_what_is_counted_has_whole_ticks(last: int) -> None:
    ticks = replace(Scale.of((1, last), 0, 100), whole=True).ticks()
    assert 1 <= len(ticks) <= 8
    assert all(tick == round(tick) for tick in ticks)


def test_marks_at_one_place_are_drawn_once() -> None:
    drawing = Drawing()
    drawing.marks([(10.0, 10.0), (10.1, 10.1), (20.0, 10.0)], "best", "circle")
    assert drawing.parts[0].count("M") == 2


def test_a_picture_is_xml_that_says_what_it_is_and_brings_its_colours() -> None:
    drawing = Drawing()
    drawing.text((0, 0), "a<b>&\"'", full="more & more")
    svg = drawing.svg("name", "A <title>", "What & why", 50)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    children = {child.tag.rpartition("}")[2]: child for child in root}
    assert (children["title"].text, children["desc"].text) == ("A <title>", "What & why")
    assert root.get("aria-labelledby") == f"{children['title'].get('id')} {children['desc'].get('id')}"
    assert "prefers-color-scheme:dark" in (children["style"].text or "")
    assert "".join(children["text"].itertext()) == "more & morea<b>&\"'"


def test_a_legend_takes_as_many_lines_as_it_needs() -> None:
    one = legend(Drawing(), [Entry("a", "best", "circle")], 0)
    many = legend(Drawing(), [Entry("words " * 6, "best", "line")] * 4, 0)
    assert many > one


def test_long_names_lose_their_middle() -> None:
    assert shortened("conv1", 124) == "conv1"
    cut = shortened("features.13.block.depthwise.convolution", 124)
    assert len(cut) <= 18
    assert cut.startswith("featu")
    assert cut.endswith("convolution")
