"""Drawing: axes, marks and words as SVG text that looks right by itself and in a page, in light and in dark.

Colours are classes of a style that lies in the picture, so that it follows the reader's theme wherever it is shown.
Series differ in the form of their marks as well, for those who do not tell the colours apart.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
WIDTH = 440
"""Of every picture, in its own pixels: on a phone it is shown at four fifths, and 12 px can still be read."""
TEXT = 12
"""Height of the words, in the same pixels."""
_CHARACTER = 6.6
"""Mean width of one."""
_LIGHT = {
    "ink": "#1f2933", "soft": "#52606d", "grid": "#d5dbe1", "trial": "#6b7885", "best": "#0b6e4f",
    "uniform": "#b5432c", "blue": "#2b5fb3", "violet": "#7a3fb0", "ochre": "#8a5a00",
}  # fmt: skip
_DARK = {
    "ink": "#e8ecf0", "soft": "#b3bdc8", "grid": "#3d4956", "trial": "#97a4b2", "best": "#4fd1a5",
    "uniform": "#ff9b85", "blue": "#8ab4ff", "violet": "#cfa8ff", "ochre": "#f0c05a",
}  # fmt: skip
PAPER = {"light": "#ffffff", "dark": "#14191f"}
"""Ground of pictures and pages."""
SERIES = (("trial", "circle"), ("blue", "triangle"), ("violet", "diamond"), ("ochre", "cross"), ("ink", "square"))
"""Colour and mark of the first series, the second one and so on; more begin anew."""
_MARKS = {
    "square": "m-3.5-3.5h7v7h-7z",
    "triangle": "m0-4.5l4.2 7.8h-8.4z",
    "diamond": "m0-5l4 5l-4 5l-4-5z",
    "cross": "m-4-1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
    "star": "m0-8l2.1 5.2l5.6.4l-4.3 3.6l1.4 5.4l-4.8-3l-4.8 3l1.4-5.4l-4.3-3.6l5.6-.4z",
    "circle": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    """Pixel of `low`."""
    end: float
    """Pixel of `high`."""
    logarithmic: bool = False
    """Then both ends are above 0."""
    whole: bool = False
    """Whether only whole values are there, as of things that are counted."""

    @classmethod
    def of(cls, values: Iterable[float], start: float, end: float, *, logarithmic: bool = False) -> "Scale":
        """Fits all `values`, at least one, with a little room on both sides."""
        found = [math.log10(value) if logarithmic else value for value in values]
        low, high = min(found), max(found)
        room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
        low, high = low - room, high + room
        return cls(10**low, 10**high, start, end, True) if logarithmic else cls(low, high, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of `value`."""
        low, high = self._seen(self.low), self._seen(self.high)
        return self.start + (self._seen(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values inside, at most about so many."""
        if not self.logarithmic:
            return _round_values(self.low, self.high, most, least_step=1.0 if self.whole else 0.0)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 2, 5), (1,)):
            found = [digit * 10.0**power for power in powers for digit in digits]
            inside = [value for value in found if self.low <= value <= self.high]
            if 2 <= len(inside) <= most:
                return inside
        return _round_values(self.low, self.high, most)

    def _seen(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


@dataclass(slots=True)
class Drawing:
    """Collects the parts of one picture, from the back to the front."""

    parts: list[str] = field(default_factory=list)

    def line(self, start: Point, end: Point, color: str, *, dashed: bool = False) -> None:
        """A straight line."""
        self.path([start, end], color, dashed=dashed)

    def path(self, points: Sequence[Point], color: str, *, dashed: bool = False) -> None:
        """A line through `points`."""
        route = "L".join(f"{_at(x)} {_at(y)}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<path class="l {color}" d="M{route}"{dashes}/>')

    def marks(self, points: Iterable[Point], color: str, mark: str, said: str = "") -> None:
        """The same mark at every point, once where they cover each other; `said` is shown where one points."""
        places = dict.fromkeys((round(2 * x) / 2, round(2 * y) / 2) for x, y in points)
        route = "".join(f"M{_at(x)} {_at(y)}{_MARKS[mark]}" for x, y in places)
        title = f"<title>{escape(said)}</title>" if said else ""
        self.parts.append(f'<path class="f {color}" d="{route}">{title}</path>')

    def bar(self, corner: Point, width: float, height: float, color: str, *, outline: bool = False) -> None:
        """A filled bar, or its outline."""
        kind = "l" if outline else "f"
        x, y = corner
        box = f'x="{_at(x)}" y="{_at(y)}" width="{_at(max(width, 0))}" height="{_at(height)}"'
        self.parts.append(f'<rect class="{kind} {color}" {box}/>')

    def text(self, place: Point, words: str, *, color: str = "ink", anchor: Anchor = "start", full: str = "") -> None:
        """Words; `full` is shown where one points at words that were cut."""
        x, y = place
        title = f"<title>{escape(full)}</title>" if full else ""
        side = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.parts.append(f'<text class="{color}" x="{_at(x)}" y="{_at(y)}"{side}>{title}{escape(words)}</text>')

    def svg(self, name: str, title: str, description: str, height: float) -> str:
        """The picture.

        Args:
            name: Its ids begin with it; unlike any other's on a page.
            title: What it shows.
            description: What a reader who does not see it should know.
            height: In its own pixels.
        """
        size = f'width="{WIDTH}" height="{_at(height)}" viewBox="0 0 {WIDTH} {_at(height)}"'
        label = f'role="img" aria-labelledby="{name}-title {name}-text"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" {size} {label}>'
            f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-text">{escape(description)}</desc>'
            f"<style>{_STYLE}</style>"
            f'<rect class="paper" width="100%" height="100%"/>{"".join(self.parts)}</svg>'
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a legend."""

    words: str
    color: str
    mark: str
    """`line` and `dashes` are lines."""


def legend(drawing: Drawing, entries: Sequence[Entry], top: float) -> float:
    """Draws what the marks mean, in as many lines as it takes; returns where it ends."""
    x, y = 8.0, top + TEXT
    for entry in entries:
        width = 22 + _CHARACTER * len(entry.words) + 10
        if x > 8 and x + width > WIDTH:
            x, y = 8.0, y + 18
        if entry.mark in {"line", "dashes"}:
            drawing.line((x, y - 4), (x + 16, y - 4), entry.color, dashed=entry.mark == "dashes")
        else:
            drawing.marks([(x + 8, y - 4)], entry.color, entry.mark)
        drawing.text((x + 22, y), entry.words)
        x += width
    return y + 8


def axes(drawing: Drawing, x: Scale, y: Scale, words: tuple[str, str]) -> None:
    """Draws a grid with its numbers, and what the two axes are: `words` of x below, of y above.

    Args:
        drawing: Where.
        x: From the left to the right.
        y: From the bottom to the top, whose pixels are counted from above.
        words: With units.
    """
    for value in x.ticks():
        drawing.line((x(value), y.start), (x(value), y.end), "grid")
        drawing.text((x(value), y.start + 16), number(value), color="soft", anchor="middle")
    for value in y.ticks():
        drawing.line((x.start, y(value)), (x.end, y(value)), "grid")
        drawing.text((x.start - 6, y(value) + 4), number(value), color="soft", anchor="end")
    drawing.text((x.end, y.start + 34), words[0], color="soft", anchor="end")
    drawing.text((8, y.end - 8), words[1], color="soft")


def number(value: float) -> str:
    """A round value of an axis: no more digits than it has."""
    return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0e}"


def shortened(words: str, pixels: float) -> str:
    """Words that fit into so many pixels, the middle left out where they do not: the ends tell names apart."""
    most = max(5, int(pixels / _CHARACTER))
    if len(words) <= most:
        return words
    front = (most - 1) // 3
    return f"{words[:front]}…{words[len(words) - (most - 1 - front) :]}"


def _round_values(low: float, high: float, most: int, *, least_step: float = 0.0) -> list[float]:
    rough = max((high - low) / most, least_step)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(count * step, 12) for count in range(first, last + 1)]


def _at(pixel: float) -> str:
    return f"{pixel:.1f}".removesuffix(".0")


def _colors(colors: dict[str, str], paper: str) -> str:
    rules = [f".plot .f.{name}{{fill:{value}}}.plot .l.{name}{{stroke:{value}}}" for name, value in colors.items()]
    words = [f".plot text.{name}{{fill:{value}}}" for name, value in colors.items()]
    return "".join([f".plot .paper{{fill:{paper}}}", *rules, *words])


_STYLE = (
    f".plot text{{font:{TEXT}px system-ui,sans-serif}}"
    ".plot .l{fill:none;stroke-width:1.5}.plot .l.grid{stroke-width:1}"
    f"{_colors(_LIGHT, PAPER['light'])}"
    f"@media screen and (prefers-color-scheme:dark){{{_colors(_DARK, PAPER['dark'])}}}"
)
