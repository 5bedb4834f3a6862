"""A headless Chromium that opens a page, spoken to through a pipe: no driver and no other package is needed."""

import base64
import importlib.util
import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
Theme = Literal["light", "dark"]
PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 25, 31)"}
_ANSWER_S = 120.0
"""Much more than it takes, even where the machine is busy."""
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip
_LOOK = """JSON.stringify({
    width: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    background: getComputedStyle(document.body).backgroundColor,
    text: document.querySelector('h1').textContent,
    sections: [...document.querySelectorAll('h2')].filter(each => each.checkVisibility()).map(each => each.textContent),
    pale: (() => {
        const numbers = color => color.match(/[\\d.]+/g).map(Number);
        const linear = x => x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4;
        const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
        const ground = element => {
            for (; element; element = element.parentElement) {
                const color = numbers(getComputedStyle(element).backgroundColor);
                if (color.length < 4 || color[3] > 0) return color;
            }
            return [255, 255, 255];
        };
        const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const words = walker.currentNode.data.trim(), of = walker.currentNode.parentElement;
            if (!words || of.closest('title, desc, style')) continue;
            const svg = of.closest('svg'), style = getComputedStyle(of);
            const back = svg ? numbers(getComputedStyle(svg.querySelector('.paper')).fill) : ground(of);
            const both = [light(numbers(svg ? style.fill : style.color)), light(back)];
            const ratio = Math.max(...both) / Math.min(...both);
            if (ratio < 4.5) found.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)}`);
        }
        return found;
    })(),
})"""
"""With what is folded open. Words are pale where WCAG 2.2 (1.4.3) says so."""
_OPEN = "for (const each of document.querySelectorAll('details')) each.open = true"
_AXE = """axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(
    found => JSON.stringify(found.violations.map(
        rule => `${rule.id}: ${rule.help} (${rule.nodes.map(node => node.target.join(' ')).join(', ')})`)))"""
_NAMED = {"image", "img", "region", "link", "button", "heading", "DisclosureTriangle"}
"""Roles, as the browser tells a screen reader, that say nothing without a name."""


def executable() -> str | None:
    """Path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def axe() -> str | None:
    """The accessibility checks of axe-core, which a package for another driver of browsers ships; None without it."""
    package = importlib.util.find_spec("axe_playwright_python")
    if package is None or not package.submodule_search_locations:
        return None
    # Not imported: the driver is not there.
    return (Path(package.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Look:
    """What a page was like once it was open."""

    width: int
    """Of what is on it, in CSS pixels: wider than the window, and it scrolls sideways."""
    height: int
    background: str
    text: str
    """Of its heading."""
    sections: list[str]
    """Their headings, of those that are seen."""
    pale: list[str]
    """Words that do not stand out from their ground, with their contrast."""
    nameless: list[str]
    """Roles of what a screen reader cannot name."""
    violations: list[str]
    """What axe-core complains of; nothing where it is not installed."""
    errors: list[str]
    """What the console complained about."""
    requests: list[str]
    """Everything that was asked for."""


def check_in_browser(browser: "Browser", page: Path, width: int, theme: Theme) -> Look:
    """Opens a page of ours, which must be without a fault; the folder `AUTOML_SCREENSHOTS` keeps the picture."""
    folder = Path(os.environ.get("AUTOML_SCREENSHOTS", page.parent))
    folder.mkdir(parents=True, exist_ok=True)
    look = browser.look(page, width, theme, folder / f"{page.stem}-{width}-{theme}.png")
    assert look.text.startswith("automl: ")
    assert look.errors == []
    assert [url for url in look.requests if not url.startswith(("data:", page.as_uri()))] == []
    assert look.width <= width
    assert look.background == PAPER[theme]
    assert (look.pale, look.nameless, look.violations) == ([], [], [])
    return look


class Browser:
    """One process; each page is opened in a tab of its own."""

    def __init__(self, path: str, profile: Path) -> None:
        """Starts it with an empty profile."""
        (self._reads, mine), (theirs, self._writes) = os.pipe(), os.pipe()
        # DevTools reads from file 3 and writes to file 4; a shell puts the pipes there.
        shell = f'exec "$0" "$@" 3<&{theirs} 4>&{mine} 2>/dev/null'
        command = ["bash", "-c", shell, path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=(theirs, mine), stdout=subprocess.DEVNULL)
        os.close(theirs)
        os.close(mine)
        self._number, self._rest, self._events = 0, b"", list[dict[str, Any]]()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        os.close(self._reads)
        os.close(self._writes)

    def look(self, page: Path, width: int, theme: Theme, picture: Path) -> Look:
        """Opens a page in a window of so many pixels, for a reader with that theme; writes a picture of all of it."""
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        tab = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self._ask(f"{domain}.enable", {}, tab)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", size, tab)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self._ask("Emulation.setEmulatedMedia", media, tab)
        self._events.clear()  # of the empty page
        self._ask("Page.navigate", {"url": page.as_uri()}, tab)
        self._until("Page.loadEventFired")
        self._evaluate(_OPEN, tab)
        seen = json.loads(self._evaluate(_LOOK, tab))
        errors, requests = self._errors(), self._requests()
        self._photograph(picture, width, int(seen["height"]), tab)
        found = Look(
            **seen, nameless=self._nameless(tab), violations=self._violations(tab), errors=errors, requests=requests
        )
        self._ask("Target.closeTarget", {"targetId": target})
        return found

    def _evaluate(self, expression: str, tab: str) -> str:
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", asked, tab)
        assert "exceptionDetails" not in answer, answer
        return str(answer["result"].get("value"))

    def _photograph(self, picture: Path, width: int, height: int, tab: str) -> None:
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        asked = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        picture.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", asked, tab)["data"]))

    def _nameless(self, tab: str) -> list[str]:
        nodes = self._ask("Accessibility.getFullAXTree", {}, tab)["nodes"]
        told = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
        assert any(role in _NAMED for role, _ in told)
        return [role for role, name in told if role in _NAMED and not name]

    def _violations(self, tab: str) -> list[str]:
        source = axe()
        if source is None:
            return []
        self._evaluate(source, tab)
        found: list[str] = json.loads(self._evaluate(_AXE, tab))
        return found

    def _errors(self) -> list[str]:
        complaints = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [json.dumps(event) for event in self._events if event["method"] in complaints]

    def _requests(self) -> list[str]:
        asked = [event for event in self._events if event["method"] == "Network.requestWillBeSent"]
        return [str(event["params"]["request"]["url"]) for event in asked]

    def _ask(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        os.write(
            self._writes, json.dumps(message | ({} if session is None else {"sessionId": session})).encode() + b"\0"
        )
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def _until(self, method: str) -> None:
        while not any(event.get("method") == method for event in self._events):
            self._events.append(self._read())

    def _read(self) -> dict[str, Any]:
        """The next message; each ends with a zero byte."""
        end = time.monotonic() + _ANSWER_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reads], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._reads, 2**16) if ready else b""
            assert part, "the browser does not answer"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found
