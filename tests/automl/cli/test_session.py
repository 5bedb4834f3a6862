import pytest

from automl.cli.session import conversation
from automl.core.errors import InterruptedRunError


def test_an_interrupt_at_once_keeps_what_it_says_of_the_run() -> None:
    interrupt = KeyboardInterrupt()
    interrupt.add_note("Go on    automl resume birds")
    with pytest.raises(InterruptedRunError, match="Interrupted at once") as stopped, conversation():
        raise interrupt
    assert stopped.value.__notes__ == ["Go on    automl resume birds"]
