import pytest
from optuna.exceptions import StorageInternalError

from automl.store.patience import Patience


class Clock:
    """Time passes only while someone sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.pauses = 100.0, list[float]()
        monkeypatch.setattr("automl.store.patience.time.sleep", self._sleep)
        monkeypatch.setattr("automl.store.patience.time.monotonic", lambda: self.now_s)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_work_that_fails_for_a_while_is_done_in_the_end(clock: Clock) -> None:
    left = [1, 1, 1]
    patience = Patience(60.0)
    seen: list[int] = []

    def work() -> str:
        seen.append(patience.tried)
        if left:
            left.pop()
            raise StorageInternalError("no server")
        return "done"

    assert patience(work) == "done"
    assert seen == [0, 1, 2, 3]
    assert len(clock.pauses) == 3
    assert clock.pauses == sorted(clock.pauses)


def test_the_last_failure_comes_out_when_the_time_is_over(clock: Clock) -> None:
    def work() -> None:
        raise StorageInternalError("no server")

    with pytest.raises(StorageInternalError, match="no server"):
        Patience(60.0)(work)
    assert 60.0 <= sum(clock.pauses) < 60.0 + 20.0


def test_without_patience_or_where_the_user_stops_it_is_tried_once(clock: Clock) -> None:
    for patience in (Patience(0.0), Patience(60.0, lambda: True)):
        tries: list[int] = []

        def work(tries: list[int] = tries) -> None:
            tries.append(1)
            raise StorageInternalError("no server")

        with pytest.raises(StorageInternalError):
            patience(work)
        assert len(tries) == 1


def test_other_errors_come_out_at_once(clock: Clock) -> None:
    with pytest.raises(ValueError, match="ours"):
        Patience(60.0)(lambda: (_ for _ in ()).throw(ValueError("ours")))
    assert clock.pauses == []
