from dataclasses import replace

import numpy as np
import pytest

from automl.runtime.call_times import CallTimes
from automl.runtime.calls import Calls

TRUE_MS = np.array([4.0, 2.0, 1.0, 3.0, 0.5, 2.5, 1.5, 3.5, 0.8, 2.2])


def on_a_moody_machine(seed: int, moods: tuple[float, ...] = (1.0, 1.6, 1.2, 2.0)) -> Calls:
    """Each network twice in 30 rounds; the machine is slower by another factor in each quarter of them."""
    generator = np.random.default_rng(seed)
    rows = []
    for turn in range(30):
        for number in generator.permutation(len(TRUE_MS)):
            mood = moods[turn * len(moods) // 30]
            noise = np.exp(np.abs(generator.normal(0, 0.02, 2)))
            rows += [[int(number), float(TRUE_MS[number] * mood * each), 1] for each in noise]
    return Calls.of(rows)


def test_times_are_relative_to_the_anchor_whatever_the_machine_did() -> None:
    found_ms = CallTimes((on_a_moody_machine(0),)).latency_ms()
    np.testing.assert_allclose(found_ms / found_ms[0], TRUE_MS / TRUE_MS[0], rtol=0.02)


def test_a_machine_that_is_slower_in_most_batches_changes_nothing() -> None:
    # Large networks suffer more: by their number of calls the ratios of most batches would count.
    busy = [np.where(TRUE_MS > 2, 1.5, 1.1)] * 4
    batches = [on_a_moody_machine(seed, moods=(1.0,)) for seed in range(5)]
    slowed = [replace(calls, ms=calls.ms * factor[calls.network]) for calls, factor in zip(batches, busy, strict=False)]
    found_ms = CallTimes((*slowed, batches[-1])).latency_ms()
    np.testing.assert_allclose(found_ms / found_ms[0], TRUE_MS / TRUE_MS[0], rtol=0.02)


def test_a_network_is_summed_up_by_its_own_clean_calls() -> None:
    calls = Calls.of([[0, 1.0, 1], [1, 5.0, 1], [0, 3.0, 1], [0, 2.0, 1], [0, 9.0, 0]])
    summary = calls.summary(0)
    assert (summary.ms, summary.raw_median_ms, summary.min_ms) == (2.0, 2.5, 1.0)
    assert summary.p10_ms == pytest.approx(1.2)
    assert (summary.calls, summary.clean) == (4, 0.75)


def test_a_network_without_a_clean_call_counts_all_of_them() -> None:
    calls = Calls.of([[0, 1.0, 1], [1, 5.0, 0], [0, 1.0, 1], [1, 7.0, 0]])
    assert calls.summary(1).ms == 6.0


def test_batches_are_summed_up_together() -> None:
    parts = [Calls.of([[0, 1.0, 1], [1, 5.0, 1]]), Calls.of([[0, 3.0, 1], [0, 8.0, 0]])]
    summary = Calls.joined(parts).summary(0)
    assert (summary.ms, summary.raw_median_ms, summary.calls) == (2.0, 3.0, 3)


def test_drift_is_that_of_the_anchor() -> None:
    assert on_a_moody_machine(0, moods=(1.0,)).drift < 0.03
    assert on_a_moody_machine(0).drift == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("rows", [[], [[0, 1.0]], [[0, 0.0, 1]], [[0, float("nan"), 1]], [["x", 1.0, 1]]])
def test_what_are_no_calls_is_refused(rows: list[list[object]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Calls.of(rows)
