import json

import pytest

from automl.data.registry import DATASETS
from automl.models.registry import list_models
from automl.search.registry import AGENTS, ENGINES
from tests.automl.cli.conftest import Cli


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("models", [info.name for info in list_models()]),
        ("datasets", [info.name for info in DATASETS]),
        ("engines", [*ENGINES, *AGENTS]),
    ],
)
def test_everything_is_listed_in_the_table_and_in_the_json(automl: Cli, command: str, names: list[str]) -> None:
    outcome = automl(command)
    assert (outcome.code, outcome.err) == (0, "")
    first_words = [line.split()[0] for line in outcome.out.splitlines() if line.strip()]
    assert set(names) <= set(first_words)
    assert [row["name"] for row in json.loads(automl(command, "--json").out)] == names
