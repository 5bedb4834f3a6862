"""Databases of trials that are none, or that somebody else has written."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from automl.core.errors import InputError
from automl.store.address import StudyAddress
from automl.store.checking import check_trials
from automl.store.run import Run
from automl.store.shelf import fetch, publish
from automl.store.study import open_study
from automl.store.trials import policy_of_trial, recall
from tests.hostile.door import Door
from tests.hostile.network import SPEC
from tests.hostile.values import changed

Change = Callable[[sqlite3.Connection], object]


def sql(*statements: str) -> Change:
    """Runs these statements."""
    return lambda connection: [connection.execute(statement) for statement in statements]


def write(path: Path, change: Change) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        change(connection)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


FILES = {
    "text": b"not a database",
    "long text": b"not a database at all " * 500,
    "a header alone": b"SQLite format 3\x00",
    "a header and zeros": b"SQLite format 3\x00" + bytes(5000),
    "zeros": bytes(4096),
    "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "a zip file": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
@pytest.mark.parametrize("command", [("status",), ("show",), ("resume", "--trials=+1", "--model", SPEC)])
def test_what_is_no_database_is_refused(door: Door, run: Run, command: tuple[str, ...], content: bytes) -> None:
    run.study_db.write_bytes(content)
    assert "database" in door.refused(*command, "mine", inside=run.path)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_half_a_database_is_refused(door: Door, run: Run, share: float) -> None:
    write(run.study_db, sql())
    content = run.study_db.read_bytes()
    run.study_db.write_bytes(content[: int(share * len(content))])
    door.refused("status", "mine", inside=run.path)


@pytest.mark.parametrize("place", range(12))
def test_a_database_with_flipped_bits_is_read_or_refused(door: Door, run: Run, place: int) -> None:
    write(run.study_db, sql())
    content = bytearray(run.study_db.read_bytes())
    for number in range(64):
        content[(place * 7919 + number * 104729) % len(content)] ^= 1 << (number % 8)
    run.study_db.write_bytes(content)
    door.survived("status", "mine", inside=run.path)


FIRST = "(SELECT min(trial_id) FROM trials)"
ROWS: dict[str, Change] = {
    "other tables": sql("DROP TABLE studies", "DROP TABLE version_info"),
    "no trials": sql("DROP TABLE trials", "CREATE TABLE trials (x)"),
    "a column less": sql("ALTER TABLE trials DROP COLUMN state"),
    "attributes without values": sql("ALTER TABLE trial_user_attributes DROP COLUMN value_json"),
    "another version": sql("UPDATE alembic_version SET version_num = '../../x'"),
    "a state that is none": sql("UPDATE trials SET state = 'EXPLODED'"),
    "a state that is a number": sql("UPDATE trials SET state = 3"),
    "no number": sql("UPDATE trials SET number = 'x'"),
    "no time": sql("UPDATE trials SET datetime_start = 'yesterday'"),
    "no value": sql("DELETE FROM trial_values"),
    "a text for a value": sql("UPDATE trial_values SET value = 'best'"),
    "another value": sql("UPDATE trial_values SET value = value - 1"),
    "an infinite value": sql("UPDATE trial_values SET value_type = 'INF_NEG', value = NULL"),
    "a type of value that is none": sql("UPDATE trial_values SET value_type = 'X'"),
    "two objectives": sql(
        "INSERT INTO study_directions (direction, study_id, objective) "
        "SELECT direction, study_id, 1 FROM study_directions"
    ),
    "a direction that is none": sql("UPDATE study_directions SET direction = 'SIDEWAYS'"),
    "a distribution that is none": sql('UPDATE trial_params SET distribution_json = \'{"name": "os.system"}\''),
    "a distribution that is no JSON": sql("UPDATE trial_params SET distribution_json = 'x'"),
    "a distribution of choices": sql(
        "UPDATE trial_params SET distribution_json = "
        '\'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}\', param_value = 0'
    ),
    "a choice that is not there": sql(
        "UPDATE trial_params SET distribution_json = "
        '\'{"name": "CategoricalDistribution", "attributes": {"choices": ["a"]}}\', param_value = 9'
    ),
    "a parameter out of its range": sql("UPDATE trial_params SET param_value = 1e6"),
    "a parameter that is a text": sql("UPDATE trial_params SET param_value = 'x'"),
    "an attribute that is no JSON": sql("UPDATE trial_user_attributes SET value_json = '{'"),
    "an attribute nested deeply": lambda connection: connection.execute(
        "UPDATE trial_user_attributes SET value_json = ?", ("[" * 100_000,)
    ),
    "attributes of the study that are no JSON": sql("UPDATE study_user_attributes SET value_json = '{'"),
    "attributes of the study in bytes": sql("UPDATE study_user_attributes SET value_json = x'ff00'"),
}


@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS)
def test_rows_that_are_not_ours_are_refused(door: Door, run: Run, change: Change) -> None:
    write(run.study_db, change)
    door.refused("status", "mine", inside=run.path)


FACTS: dict[str, dict[str, object]] = {
    "policy": {
        "a list": [],
        "a text": "evil:net",
        "no channels": {"bits": {}},
        "a fraction": {"channels": {"0": 4.5}, "bits": {}},
        "a number as text": {"channels": {"0": "4"}, "bits": {}},
        "no number": {"channels": {"0": float("nan")}, "bits": {}},
        "infinity": {"channels": {"0": float("inf")}, "bits": {}},
        "beyond 64 bits": {"channels": {"0": 2**70}, "bits": {}},
        "bits in a list": {"channels": {}, "bits": [8]},
        "bits without a name": {"channels": {}, "bits": {"0": {"width": 8}}},
        "more": {"channels": {}, "bits": {}, "__class__": "os.system"},
    },
    "evaluation": {
        "nothing": None,
        "a list": [],
        "no cost": {"divergence": 1.0},
        "a cost that is none": {"cost": {"macs": "many"}},
        "no accuracy": {"accuracy": None},
        "more than all": {"accuracy": 1e300},
        "no number": {"divergence": float("nan")},
        "infinity": {"seconds": float("inf")},
        "a huge divergence": {"divergence": 1e308},
        "an interval of one": {"accuracy_ci95": [0.5]},
        "another source": {"source": "../x"},
        "images by half": {"images": 12.5},
    },
    "digest": {"a list": ["x"], "a number": 7},
    "worker": {"an object": {}, "a list": ["../x"]},
    "lost": {"a text": "3", "a list": [3]},
    "engine": {"an object": {"a": 1}},
    "given": {"a text": "yes"},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in FACTS.items() for value in values.values()],
    ids=[f"{name}: {what}" for name, values in FACTS.items() for what in values],
)
def test_facts_of_a_trial_that_are_not_ours_are_refused(door: Door, run: Run, name: str, value: object) -> None:
    def change(connection: sqlite3.Connection) -> None:
        (found,) = connection.execute(
            "SELECT value_json FROM trial_user_attributes WHERE key = 'evaluation' LIMIT 1"
        ).fetchone()
        whole = {**json.loads(found), **value} if name == "evaluation" and isinstance(value, dict) else value
        row = (name, json.dumps(whole))
        connection.execute(f"DELETE FROM trial_user_attributes WHERE key = ? AND trial_id = {FIRST}", (name,))
        connection.execute(f"INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES ({FIRST}, ?, ?)", row)

    write(run.study_db, change)
    assert "trial 0" in door.refused("status", "mine", inside=run.path)


WORKERS: dict[str, object] = {
    "nothing": None,
    "a list": [],
    "a path for a number": {"pid": "../../etc/passwd"},
    "no time": {"heard": "yesterday"},
    "a time without a zone": {"heard": "2026-01-01T00:00:00"},
    "a state": {"state": "exploded"},
    "more": {"__class__": "x"},
}


@pytest.mark.parametrize("value", WORKERS.values(), ids=WORKERS)
def test_a_worker_that_is_none_of_ours_is_passed_over(door: Door, run: Run, value: object) -> None:
    def change(connection: sqlite3.Connection) -> None:
        key, found = connection.execute("SELECT key, value_json FROM study_user_attributes LIMIT 1").fetchone()
        whole = {**json.loads(found), **value} if isinstance(value, dict) else value
        connection.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = ?", (json.dumps(whole), key))

    write(run.study_db, change)
    code, out, _ = door.survived("status", "mine", "--json", inside=run.path)
    assert (code, json.loads(out)[0]["workers"]) == (0, [])


@pytest.mark.parametrize("channels", [{"x": 4}, {"0": 999}, {"0": -1}, {"\x1b[2J": 1}], ids=ascii)
@pytest.mark.parametrize("command", [("export", "--trial=0"), ("resume",)])
def test_a_trial_of_another_network_is_refused(
    door: Door, run: Run, command: tuple[str, ...], channels: dict[str, int]
) -> None:
    def change(connection: sqlite3.Connection) -> None:
        policy = json.dumps({"channels": channels, "bits": {}})
        connection.execute("UPDATE trial_user_attributes SET value_json = ? WHERE key = 'policy'", (policy,))

    write(run.study_db, change)
    door.refused(command[0], "mine", *command[1:], "--model", SPEC, inside=run.path)


@pytest.mark.parametrize("trial", ["-1", "3", "9" * 40])
def test_a_trial_that_is_not_there_is_not_exported(door: Door, run: Run, trial: str) -> None:
    door.refused("export", "mine", f"--trial={trial}", "--model", SPEC, inside=run.path)


@pytest.fixture(scope="session")
def facts(whole_run: Path) -> dict[str, Any]:
    """What the product says of a completed trial."""
    with open_study(StudyAddress.of_file(whole_run / "study.db")) as study:
        return dict(study.trials[0].user_attrs)


@given(st.data())
def test_a_trial_with_one_place_changed_is_recalled_or_refused(facts: dict[str, Any], data: st.DataObject) -> None:
    attributes = data.draw(changed(facts))
    value = float(facts["evaluation"]["divergence"])
    trial = create_trial(state=TrialState.COMPLETE, value=value, user_attrs=attributes)
    with suppress(InputError):
        check_trials([trial])
        recall(trial)
        hash(policy_of_trial(trial))


OUTSIDE = {"missing": None, "empty": b"", "text": b"hello", "zeros": bytes(5000)}


@pytest.mark.parametrize("content", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("command", ["resume", "export", "finetune"])
def test_a_run_makes_and_changes_no_database_elsewhere(
    door: Door, run: Run, command: str, content: bytes | None
) -> None:
    outside = door.home / "outside.db"
    if content is not None:
        outside.write_bytes(content)
    with run.config.open("a") as file:
        file.write(f'storage = "sqlite:///{outside}"\n')
    more = {"resume": ["--trials=+1"], "export": ["--trial=0"], "finetune": []}[command]
    door.refused(command, "mine", *more, "--model", SPEC, inside=run.path)


@pytest.mark.parametrize("content", [*OUTSIDE.values()], ids=OUTSIDE)
def test_looking_at_a_run_changes_no_database_elsewhere(door: Door, run: Run, content: bytes | None) -> None:
    outside = door.home / "outside.db"
    if content is not None:
        outside.write_bytes(content)
    with run.config.open("a") as file:
        file.write(f'storage = "sqlite:///{outside}"\n')
    door.survived("status", "mine", inside=run.path)


SHELVES: dict[str, str] = {
    "other bytes": "UPDATE automl_files SET content = x'00'",
    "a text": "UPDATE automl_files SET content = 'text'",
    "a number": "UPDATE automl_files SET content = 5",
    "another digest": "UPDATE automl_files SET digest = 'x'",
}


@pytest.mark.parametrize("statement", SHELVES.values(), ids=SHELVES)
def test_published_files_that_were_changed_are_refused(door: Door, statement: str) -> None:
    storage = f"sqlite:///{door.home}/shared.db"
    address = StudyAddress.parse(storage, "mine")
    with open_study(address):
        publish(address, {"config.toml": b"x", "../../escaped": b"y"})
    write(door.home / "shared.db", sql(statement))
    door.refused("worker", f"--storage={storage}", "--study=mine", inside=door.home / "runs")


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "state/../../../escaped", ".cache/x", "log.txt"])
def test_only_files_that_we_publish_are_written(door: Door, name: str) -> None:
    storage = f"sqlite:///{door.home}/shared.db"
    address = StudyAddress.parse(storage, "mine")
    with open_study(address):
        publish(address, {"config.toml": b"model = 'x'", name: b"escaped"})
    assert name in fetch(address)
    door.refused("worker", f"--storage={storage}", "--study=mine", inside=door.home / "runs")
    assert not [path for path in door.home.rglob("*") if path.is_file() and path.read_bytes() == b"escaped"]
