import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "environment.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_code_of_the_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in BLOCK.finditer(text):
        above = text.count("\n", 0, block.start(1))
        # Blank lines in front, so that a traceback has the lines of the page.
        exec(compile("\n" * above + block[1], str(PAGE), "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["reward"] * 4 + ["PPO:", "4", "rewards"]
    assert len(names["monitor"].get_episode_rewards()) == 4
    assert np.isfinite(names["rewards"]).all()
    assert ((names["infos"]["used"] >= 0.98) & (names["infos"]["used"] <= 1.0)).all()
