"""Results that are on disk as soon as they are there, so that an interrupted benchmark goes on where it was."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.store.files import write_json

CACHE = Path(__file__).parent / ".cache"
"""Baselines and results; it can be deleted at any time."""


@dataclass(frozen=True, slots=True)
class ResultCache:
    """One JSON file per result. Nothing of the code is in a key: after a change, ask for fresh results."""

    folder: Path

    def get(self, facts: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]], *, fresh: bool) -> dict[str, Any]:
        """The result of `facts`: read, or measured and written.

        Args:
            facts: Everything that the result depends on, as JSON values; kept beside it.
            measure: Makes the result, as JSON values.
            fresh: Whether to measure in any case.
        """
        text = json.dumps(facts, sort_keys=True)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
        if not fresh and path.is_file():
            return dict(json.loads(path.read_text(encoding="utf-8"))["result"])
        result = dict(measure())
        write_json(path, {"facts": dict(facts), "result": result})
        return result
