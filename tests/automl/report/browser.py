"""A headless Chromium that opens a page, spoken to through a pipe: no driver and no other package is needed."""

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
_ANSWER_S = 120.0
"""Much more than it takes, even where the machine is busy."""
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip
_LOOK = """JSON.stringify({
    width: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
    text: document.querySelector('h1').textContent,
})"""


def executable() -> str | None:
    """Path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(frozen=True, slots=True)
class Look:
    """What a page was like once it was open."""

    width: int
    """Of what is on it, in CSS pixels: wider than the window, and it scrolls sideways."""
    background: str
    text: str
    """Of its heading."""
    errors: list[str]
    """What the console complained about."""
    requests: list[str]
    """Everything that was asked for."""


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

    def look(self, page: Path, width: int, theme: Theme) -> Look:
        """Opens a page in a window of so many pixels, for a reader with that theme."""
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        tab = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable", {}, tab)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", size, tab)
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self._ask("Emulation.setEmulatedMedia", media, tab)
        self._ask("Page.navigate", {"url": page.as_uri()}, tab)
        self._until("Page.loadEventFired")
        result = self._ask("Runtime.evaluate", {"expression": _LOOK, "returnByValue": True}, tab)["result"]
        found = Look(**json.loads(result["value"]), errors=self._errors(), requests=self._requests())
        self._ask("Target.closeTarget", {"targetId": target})
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
