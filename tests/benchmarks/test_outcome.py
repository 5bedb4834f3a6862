import pytest

from automl.core.errors import InputError
from benchmarks.outcome import run_and_exit


def refused() -> int:
    raise InputError("A network must be known.")


def test_a_benchmark_exits_with_its_code_and_a_refusal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as missed:
        run_and_exit(lambda: 1)
    assert missed.value.code == 1
    with pytest.raises(SystemExit) as bad:
        run_and_exit(refused)
    assert bad.value.code == InputError.exit_code == 2
    assert capsys.readouterr().err == "error: A network must be known.\n"
