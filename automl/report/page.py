"""A page of our own: one HTML file that loads nothing, for screens, phones and paper, in light and in dark."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template

from automl.report.rows import TextTable
from automl.report.svg import PAPER

_PAGE = Template(f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root {{ --paper: {PAPER["light"]}; --ink: #1f2933; --soft: #52606d; --rule: #9aa5b1; }}
@media screen and (prefers-color-scheme: dark) {{
:root {{ --paper: {PAPER["dark"]}; --ink: #e8ecf0; --soft: #b3bdc8; --rule: #66727f; }} }}
* {{ box-sizing: border-box; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 .6rem; }}
.verdict {{ font-size: 1.15rem; border-left: .3rem solid var(--rule); padding-left: .8rem; }}
.soft, figcaption {{ color: var(--soft); }}
.box {{ overflow-x: auto; max-width: 100%; margin: .6rem 0; }}
table {{ border-collapse: collapse; overflow-wrap: normal; }} th, td {{ padding: .25rem .8rem; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
thead :is(th, td) {{ border-bottom: 1px solid var(--rule); vertical-align: bottom; }}
tbody th {{ font-weight: normal; }}
tbody :is(th, td) {{ font-variant-numeric: tabular-nums; white-space: nowrap; }}
.words tbody :is(th, td) {{ white-space: normal; min-width: 5rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }} dd {{ margin: 0; }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }}
figure {{ margin: 0; min-width: 0; }} .plot {{ width: 100%; max-width: 40rem; height: auto; display: block; }}
.images {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; }}
.images img {{ width: 96px; height: 96px; object-fit: contain; image-rendering: pixelated; }}
summary {{ cursor: pointer; }}
@media (max-width: 30rem) {{ dl {{ grid-template-columns: 1fr; }} dt {{ margin-top: .4rem; }} }}
@media print {{ body {{ max-width: none; margin: 0; font-size: 11px; }} figure, tr, dl {{ break-inside: avoid; }}
h2 {{ break-after: avoid; }} .box {{ overflow: visible; }} tbody :is(th, td) {{ white-space: normal; }}
details::details-content {{ content-visibility: visible; display: block; }} }}
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")


def page(title: str, parts: Iterable[str]) -> str:
    """The page as HTML.

    Args:
        title: As plain text.
        parts: HTML, as the functions below make it.
    """
    return _PAGE.substitute(title=escape(title), body="\n".join(part for part in parts if part))


def section(title: str, *parts: str) -> str:
    """A heading and what follows it; nothing where nothing does."""
    there = [part for part in parts if part]
    return "\n".join([f"<h2>{escape(title)}</h2>", *there]) if there else ""


def paragraph(text: str, kind: str = "") -> str:
    """Plain text; nothing where there is none."""
    name = f' class="{kind}"' if kind else ""
    return f"<p{name}>{escape(text)}</p>" if text else ""


def bullets(items: Iterable[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def table(content: TextTable, label: str, *, words: bool = False) -> str:
    """A table in a box of its own, which scrolls where the screen is narrower.

    Args:
        content: Plain text.
        label: What it is, for those who do not see it.
        words: Whether cells hold sentences, which may be broken.
    """
    head = "".join(f'<th scope="col">{escape(title)}</th>' if title else "<td></td>" for title in content.header)
    body = "".join(f"<tr>{_row(row)}</tr>" for row in content.rows)
    kind = ' class="words"' if words else ""
    inner = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="box" role="region" tabindex="0" aria-label="{escape(label)}">{inner}</div>'


def _row(cells: Sequence[str]) -> str:
    """The first cell names the row."""
    name, *values = map(escape, cells)
    return f'<th scope="row">{name}</th>' + "".join(f"<td>{value}</td>" for value in values)


def facts(values: Mapping[str, str]) -> str:
    """Names and what they are, which restack on a phone."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def figure(svg: str, caption: str) -> str:
    """A picture of `report.svg` with its caption."""
    # HTML takes the element alone, without what may stand before it in a file.
    element = re.sub(r"\A.*?(?=<svg)", "", svg, flags=re.DOTALL)
    return f"<figure>{element}<figcaption>{escape(caption)}</figcaption></figure>"


def folded(summary: str, *parts: str) -> str:
    """What is there for those who ask."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def group(kind: str, parts: Iterable[str]) -> str:
    """Parts side by side where there is room, by a class of the style; nothing where there are none."""
    inner = "".join(parts)
    return f'<div class="{kind}">{inner}</div>' if inner else ""
