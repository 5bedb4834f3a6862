import io
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject, open_subject
from automl.report.progress import Progress
from automl.store.config import RunConfig
from benchmarks.nets import find_nets
from benchmarks.quantization import (
    CLIPPED,
    EVERYWHERE,
    FLOAT,
    GPTQ,
    NEAREST,
    PER_CHANNEL,
    PER_TENSOR,
    Bench,
    Measured,
    Result,
    arms,
    decibels,
    measured,
    rows,
    table,
)

LABELLED, IMAGENET = find_nets("digits,imagenet-mobilenetv2")


def opened(seed: int = 0) -> Subject:
    return open_subject(RunConfig("tests.benchmarks.test_peers:tiny", "digits", ("1flops",), seed=seed, limit=300))


@pytest.fixture
def talk() -> Iterator[Conversation]:
    console = Console(file=io.StringIO(), width=200)
    with Progress(console) as progress:
        yield Conversation(console, progress, lambda: False)


def test_every_arm_is_measured_on_every_seed(talk: Conversation) -> None:
    tried = arms(IMAGENET)
    found = measured([opened(0), opened(1)], tried, talk)
    assert set(found) == {FLOAT, *(arm.name for arm in tried)}
    assert all(len(each) == 2 for each in found.values())
    assert all(each.decibels == math.inf for each in found[FLOAT])
    ratio = {name: sum(one.decibels for one in each) for name, each in found.items()}
    assert ratio[PER_CHANNEL.name] > ratio[CLIPPED.name] > ratio[NEAREST.name]
    assert ratio[PER_TENSOR[8][1].name] > ratio[PER_TENSOR[6][1].name]
    lines = table(IMAGENET, found).rows
    assert [line[0] for line in lines] == list(found)
    assert "agreement" in table(IMAGENET, found).columns


def test_the_first_and_the_last_layer_have_eight_bits() -> None:
    network, seconds = Bench(opened()).quantized(NEAREST)
    assert [(each.weight, each.activation) for each in network.bits.values()] == [(8, 8), (4, 8), (8, 8)]
    assert seconds > 0


def test_a_seed_draws_its_own_test_images() -> None:
    subject = opened()
    other = replace(subject, config=replace(subject.config, seed=1))
    one, two = (torch.cat([images for images, _ in Bench(each)._test]) for each in (subject, other))
    assert one.shape == two.shape
    assert len(one) == 38  # half of 75
    assert not torch.equal(one, two)


def test_decibels_by_hand() -> None:
    # Variance 1 in each column, an error of 0.1 everywhere: 10 * log10(1 / 0.01).
    reference = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert decibels(reference + 0.1, reference) == pytest.approx(20.0, abs=1e-4)


def results(*accuracies: float, ratio: float = 10.0) -> list[Result]:
    return [Result(each, 0.1, ratio + index / 10, 1.0) for index, each in enumerate(accuracies)]


def made_up() -> dict[str, list[Result]]:
    found = {FLOAT: results(1.0, 1.0, 1.0)}
    found |= {arm.name: results(0.99, 0.995, 1.0) for arm in EVERYWHERE}
    for naive, ours in PER_TENSOR.values():
        found |= {naive.name: results(0.1, 0.11, 0.12), ours.name: results(0.8, 0.83, 0.85)}
    return found


def verdicts(net: str, found: Measured) -> dict[str, bool | None]:
    return {row.what: row.held for row in rows(find_nets(net)[0], found)}


def test_rows_hold_where_what_was_promised_came_true() -> None:
    assert all(held for held in verdicts("digits", made_up()).values())
    held = verdicts("imagenet-mobilenetv2", made_up())
    # The collapse at 8 bits and the loss of a network without labels are shown and not promised.
    assert [name for name, each in held.items() if each is None] == [
        f"imagenet-mobilenetv2, {PER_TENSOR[8][0].name}",
        f"imagenet-mobilenetv2, {PER_CHANNEL.name}",
    ]
    assert all(each for each in held.values() if each is not None)


def test_rows_do_not_hold_where_it_did_not() -> None:
    found = made_up()
    found[GPTQ.name] = results(0.9, 0.9, 0.9, ratio=5.0)
    found[PER_CHANNEL.name] = results(0.9, 0.9, 0.9)
    found[PER_TENSOR[6][0].name] = results(0.9, 0.9, 0.9)
    assert verdicts("digits", found) == {
        f"digits, {PER_CHANNEL.name}": False,
        f"digits, {CLIPPED.name}, dB": True,
        f"digits, {GPTQ.name}, dB": False,
    }
    held = verdicts("imagenet-mobilenetv2", found)
    assert [held[f"imagenet-mobilenetv2, {arm.name}"] for arm in PER_TENSOR[6]] == [False, False]


def test_one_seed_decides_nothing_that_needs_an_interval() -> None:
    one = {name: each[:1] for name, each in made_up().items()}
    held = verdicts("imagenet-mobilenetv2", one)
    assert held[f"imagenet-mobilenetv2, {PER_TENSOR[8][1].name}"] is None
    assert held[f"imagenet-mobilenetv2, {GPTQ.name}, dB"] is None
