"""One quick search as people see it: in terminals of two widths, which tmux draws, and in a file."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import automl as package

SEARCH = (
    *("-m", "automl", "search", "--budget", "0.5flops", "--limit", "240"),
    *("--epochs", "2", "--trials", "6", "--finetune-epochs", "1", "--name"),
)
PHASES = ("Baseline", "Sensitivity", "Search", "Promotion", "Fine-tune", "Export")
HEIGHT = 60
ENDED = "Exit code: "
LONGEST_S = 300.0
SERVER = f"automl-{os.getpid()}"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: nobody looks at a terminal"),
]


def tmux(*arguments: str) -> str:
    # Without a configuration, on a server of our own.
    command = ["tmux", "-u", "-f", os.devnull, "-L", SERVER, *arguments]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8", env=environment()).stdout


def environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in {"TMUX", "COLUMNS", "LINES", "NO_COLOR"}}
    root = str(Path(package.__file__).parents[1])
    return {**ours, "PYTHONPATH": root, "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of them run; the first one trains the baseline of all."""
    return tmp_path_factory.mktemp("terminal")


@pytest.fixture(autouse=True)
def server() -> Iterator[None]:
    yield
    command = ["tmux", "-L", SERVER, "kill-server"]
    subprocess.run(command, capture_output=True, check=False, env=environment())


def screens(folder: Path, name: str, width: int) -> list[list[str]]:
    """The screen whenever it looked otherwise, its lines without blanks at the end; the last one when all is over.

    No line of any of them is broken in two.
    """
    search = shlex.join([sys.executable, *SEARCH, name])
    command = f"{search}; echo {shlex.quote(ENDED)}$?; sleep {LONGEST_S}"
    tmux("new-session", "-d", "-x", str(width), "-y", str(HEIGHT), "-s", name, "-c", str(folder), command)
    found: list[list[str]] = []
    until_s = time.monotonic() + LONGEST_S
    while not found or not any(line.startswith(ENDED) for line in found[-1]):
        assert time.monotonic() < until_s, found[-1]
        lines, joined = captured(name), captured(name, "-J")
        if lines == captured(name) and lines not in found[-1:]:  # not in the middle of a drawing
            assert lines == joined, "\n".join(lines)
            found.append(lines)
        time.sleep(0.1)
    return found


def captured(name: str, *options: str) -> list[str]:
    """What a terminal shows; `-J` joins lines that the terminal broke in two."""
    return [line.rstrip() for line in tmux("capture-pane", "-p", *options, "-t", name).rstrip().splitlines()]


def phases_of(lines: list[str]) -> list[tuple[str, str]]:
    """(mark, name) of each phase on a screen, in order."""
    matches = (re.match(rf"([ ✓▸]) ({'|'.join(PHASES)})( |$)", line) for line in lines)
    return [(found[1], found[2]) for found in matches if found is not None]


def last_lines(name: str) -> list[str]:
    return [
        f"Run      runs/{name}",
        f"Report   runs/{name}/report.html",
        f"Network  runs/{name}/best/model.onnx",
        f"Go on    automl resume {name} --trials +40",
    ]


@pytest.mark.parametrize(("name", "width"), [("narrow", 80), ("wide", 120)])
def test_a_search_in_a_terminal_is_one_view_that_no_line_leaves(folder: Path, name: str, width: int) -> None:
    found = screens(folder, name, width)
    marked = [phases_of(lines) for lines in found]
    for lines, phases in zip(found, marked, strict=True):
        assert max(map(len, lines), default=0) <= width
        assert [phase for _, phase in phases] in ([], list(PHASES)), "\n".join(lines)  # nothing twice, nothing left
        marks = "".join(mark for mark, _ in phases)
        assert re.fullmatch("✓*▸? *", marks), "\n".join(lines)
    assert any(mark == "▸" for phases in marked for mark, _ in phases)

    last = found[-1]
    assert marked[-1] == [("✓", phase) for phase in PHASES]
    (best,) = (line for line in last if line.startswith("  Best "))
    assert re.search(r"KL \d+\.\d{3}, \d+\.\d% untuned; uniform KL \d+\.\d{3}, \d+\.\d%; \d+\.\d% of budget$", best)
    (history,) = (line for line in last if line.startswith("  History "))
    assert re.search(r"^  History  [▁▂▃▄▅▆▇█]{6}  best KL \d", history)
    assert last[-5:] == [*last_lines(name), f"{ENDED}0"]


def test_a_search_into_a_file_is_plain_lines(folder: Path) -> None:
    log = folder / "log.txt"
    with log.open("w") as file:
        command = [sys.executable, *SEARCH, "piped"]
        done = subprocess.run(command, cwd=folder, stderr=file, env=environment(), check=False, timeout=LONGEST_S)
    text = log.read_text(encoding="utf-8")
    assert done.returncode == 0, text
    lines = text.splitlines()
    assert not re.search(r"[\x00-\x09\x0b-\x1f▁▂▃▄▅▆▇█✓▸]", text)
    assert lines[-4:] == last_lines("piped")
    steps = [line for line in lines if re.match(rf"({'|'.join(PHASES)}) \d+/\d+", line)]
    assert re.search(
        r"^Search 6/6: KL \d+\.\d{3}, best \d+\.\d{3}, not tuned \d+\.\d%$", "\n".join(steps), re.MULTILINE
    )
    # What a step says is one line, however long; tables alone have blank lines around them.
    assert all(line.strip() for line in lines[: lines.index(steps[-1])])
