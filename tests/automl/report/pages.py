"""Pages taken apart, and what every page of ours has to keep."""

import re
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "link", "input"}
_LOADING = {"src", "href", "xlink:href", "data", "srcset", "action", "poster"}


class Page(HTMLParser):
    """Collects the elements, their attributes, the texts, and what lies in what."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.inside: list[tuple[str, ...]] = []
        """For each element, the ones around it."""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.inside.append(tuple(self._open))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.inside.append(tuple(self._open))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str, within: str) -> int:
        """Elements of that name right inside those of the other."""
        return sum(
            name == tag and around[-1:] == (within,) for name, around in zip(self.tags, self.inside, strict=True)
        )


def check_page(html: str) -> Page:
    """What holds for each page: it loads nothing, says what its pictures are, and is small."""
    page = Page(html)
    assert len(html.encode()) < 1_000_000
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name in _LOADING:
            assert value is not None
            assert value.startswith(("#", "data:image/png;base64,")), value
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg\")", html)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    said = {word for name, value in page.attributes if name == "aria-labelledby" for word in (value or "").split()}
    assert said <= set(ids)
    assert page.count("title", "svg") == page.count("desc", "svg") == page.tags.count("svg")
    assert page.tags.count("thead") == page.tags.count("table")
    assert page.tags.count("img") == sum(name == "alt" for name, _ in page.attributes)
    return page
