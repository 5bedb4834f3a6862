import signal
import subprocess
import sys
import time
from threading import Thread

import pytest

from automl.core.errors import SearchError
from automl.search.watchdog import time_limit


def test_a_body_that_takes_longer_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(SearchError, match=r"may take 0\.05 s .*--trial-time"), time_limit(0.05):
        time.sleep(30)
    assert time.monotonic() - began < 10


def test_a_body_that_ends_in_time_is_left_alone_and_so_is_what_follows() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(0.2):
        pass
    time.sleep(0.5)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_outside_the_main_thread_it_does_nothing() -> None:
    ended: list[bool] = []

    def work() -> None:
        with time_limit(0.05):
            time.sleep(0.2)
        ended.append(True)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_a_process_that_does_not_hear_the_alarm_is_ended() -> None:
    # One call into C that holds the interpreter: no Python code runs, so no handler does.
    code = (
        "from itertools import repeat\nfrom automl.search.watchdog import time_limit\n"
        "with time_limit(0.5):\n    sum(repeat(1, 10**12))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
