import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from automl.core.knob import Knob
from automl.core.policy import CompressionPolicy
from automl.core.sensitivity import SensitivityTable
from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject, open_subject
from automl.report.progress import Progress
from automl.store.config import RunConfig
from benchmarks import joint
from benchmarks.joint import hypervolume, hypervolumes, measured, merged, rows, table
from benchmarks.joint_arms import (
    ARMS,
    BITS_ONLY,
    INT8,
    JOINT,
    STEPWISE,
    Effort,
    Result,
    rows_of,
    with_fewest_bits,
    with_widths,
)
from benchmarks.nets import Net

NET = Net("tiny", "tests.benchmarks.test_peers:tiny", "digits")
EFFORT = Effort(trials=3, epochs=1, fills=(0.7, 0.95))
PLACES = [*((0.02, arm) for arm in ARMS), (1 / 16, INT8)]


def opened(net: Net, seed: int, talk: Conversation, bits: str | None = None) -> Subject:
    return open_subject(RunConfig(net.model, net.data, ("1flops",), seed=seed, limit=300, bits=bits))


def closed(net: Net, seed: int, talk: Conversation, bits: str | None = None) -> Subject:
    raise AssertionError("everything is on disk")


@pytest.fixture
def talk() -> Iterator[Conversation]:
    console = Console(file=io.StringIO(), width=200)
    with Progress(console) as progress:
        yield Conversation(console, progress, lambda: False)


def test_every_arm_meets_the_budget_is_trained_and_stays_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, talk: Conversation
) -> None:
    monkeypatch.setattr(joint, "CACHE", tmp_path)
    monkeypatch.setattr(joint, "open_net", opened)
    found = measured(NET, 0, PLACES, EFFORT, False, talk)
    assert list(found) == PLACES
    # Most of this network is in its first and its last layer, which have 8 bits.
    assert found[0.02, BITS_ONLY] == [None]
    for place in ((0.02, JOINT), (0.02, STEPWISE)):
        (each,) = found[place]
        assert each is not None
        assert 0 < each.bops <= 0.02
        assert each.train_seconds > 0
    (whole,) = found[1 / 16, INT8]
    assert whole is not None
    assert (whole.bops, whole.macs, whole.weight_bits, whole.chance) == (1 / 16, 1.0, 8.0, 0.1)
    monkeypatch.setattr(joint, "open_net", closed)
    assert measured(NET, 0, PLACES, EFFORT, False, talk) == found
    assert table("tiny", found).rows[2][:2] == ("0.02 bits only", "cannot")


def test_fixed_widths_are_the_only_choice_and_have_their_losses() -> None:
    knobs = (Knob("a", "channels", (0, 4, 8)), Knob("b", "channels", (4, 8)), Knob("c", "weight_bits", (4, 8)))
    fixed = with_widths(knobs, CompressionPolicy({"a": 0, "b": 0}))
    # `b` went with the branch of `a`, and has no 0 of its own.
    assert [knob.choices for knob in fixed] == [(0,), (4,), (4, 8)]
    assert [knob.choices for knob in with_fewest_bits(knobs)] == [(0, 4, 8), (4, 8), (4,)]
    full = SensitivityTable(("a", "b", "c:weight"), ((0, 4, 8), (4, 8), (4, 8)), ((3, 2, 0), (1, 0), (0.5, 0)))
    assert rows_of(full, fixed).losses == ((3,), (1,), (0.5, 0))
    assert rows_of(full, fixed[2:]).knobs == ("c:weight",)


def result(bops: float, after: float) -> Result:
    return Result(bops, 1.0, 4.0, 0.1, 0.5, after, chance=0.1, search_seconds=1.0, train_seconds=2.0)


def test_hypervolume_by_hand() -> None:
    # From 1/64 to 1/32 the better is 0.5 above chance, from there to 1/16 it is 0.8: the mean is 0.65.
    both = [result(1 / 32, 0.9), result(1 / 64, 0.6)]
    assert hypervolume(both, 1 / 64) == pytest.approx(0.65)
    assert hypervolume(both[:1], 1 / 64) == pytest.approx(0.4)
    assert hypervolume([], 1 / 64) == 0.0
    # A network that is larger and worse adds nothing, nor does one that guesses.
    assert hypervolume([result(1 / 32, 0.3), result(1 / 64, 0.6)], 1 / 64) == pytest.approx(0.5)
    assert hypervolume([result(1 / 64, 0.05)], 1 / 64) == 0.0


def made_up(mine: float, theirs: float) -> joint.Found:
    found: dict[joint.Place, list[Result | None]] = {}
    for shift in (0.0, 0.01, 0.02):
        for budget in (1 / 32, 1 / 64):
            found.setdefault((budget, JOINT), []).append(result(budget, mine + shift))
            found.setdefault((budget, STEPWISE), []).append(result(budget, theirs + 1.1 * shift))
            found.setdefault((budget, BITS_ONLY), []).append(result(budget, theirs) if budget > 0.02 else None)
    return found


def test_a_row_is_missed_only_where_joint_is_behind_by_more_than_the_interval() -> None:
    assert {row.held for row in rows("net", made_up(0.8, 0.8))} == {True}
    behind = {row.what + row.baseline.rpartition(" ")[0]: row.held for row in rows("net", made_up(0.7, 0.8))}
    assert behind == {
        f"net, 0.03125 of BOPs, accuracy{STEPWISE}": False,
        f"net, 0.03125 of BOPs, accuracy{BITS_ONLY}": False,
        f"net, 0.015625 of BOPs, accuracy{STEPWISE}": False,
        f"net, hypervolume{STEPWISE}": False,
        # What cannot be small has less of it all the same.
        f"net, hypervolume{BITS_ONLY}": True,
    }


def test_one_seed_decides_nothing() -> None:
    one = {place: each[:1] for place, each in made_up(0.7, 0.8).items()}
    assert {row.held for row in rows("net", one)} == {None}
    assert merged([one, one])[1 / 32, JOINT] == [result(1 / 32, 0.7)] * 2
    assert len(hypervolumes(merged([one, one]), STEPWISE)) == 2
