"""The pages of the documentation, and their code, which runs as it stands.

A fence right below a line `<!-- run -->` is run: Python in this process, where the blocks of a page share their names,
and sh in a shell that stops at the first failure.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_MARKED = re.compile(r"^<!-- run -->\n```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def marked_pages() -> set[str]:
    """Pages that have code to run."""
    return {path.name for path in DOCS.glob("*.md") if "<!-- run -->" in path.read_text(encoding="utf-8")}


def run_page(page: str, folder: Path) -> dict[str, Any]:
    """Runs the marked code of a page, in order; returns the names of its Python blocks.

    Args:
        page: Name of the file in docs/.
        folder: Where it runs: the current one of this process.
    """
    text = text_of(page)
    blocks = list(_MARKED.finditer(text))
    assert len(blocks) == text.count("<!-- run -->"), f"a mark in {page} is not above a fence of python or sh"
    names: dict[str, Any] = {}
    for block in blocks:
        if block[1] == "sh":
            _shell(block[2], folder)
            continue
        above = text.count("\n", 0, block.start(2))
        # Blank lines in front, so that a traceback has the lines of the page.
        exec(compile("\n" * above + block[2], str(DOCS / page), "exec"), names)
    return names


def _shell(code: str, folder: Path) -> None:
    commands = folder / ".commands"
    commands.mkdir(exist_ok=True)
    command = commands / "automl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m automl "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    sys.stdout.write(done.stdout)
