import json
import sys

import pytest
import typer

from automl.cli.outcome import run_and_exit, show_json
from automl.core.errors import InputError, InterruptedRunError, NoFeasiblePolicyError, SearchError


def outcome(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, *arguments: str) -> int:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def work(count: int = 0) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(sys, "argv", ["work", *arguments])
    return run_and_exit(app)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (SearchError("Trials keep failing."), 1),
        (InputError("A budget must be above 0."), 2),
        (NoFeasiblePolicyError("No policy meets the budget."), 3),
        (InterruptedRunError("The search was stopped."), 130),
    ],
)
def test_each_refusal_has_its_exit_code_and_shows_its_message_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception | None, code: int
) -> None:
    assert outcome(monkeypatch, error) == code
    captured = capsys.readouterr()
    assert captured.err == (f"error: {error}\n" if error else "")
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["--nosuch"], ["--count", "many"], ["more"]])
def test_what_typer_refuses_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert outcome(monkeypatch, None, *arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_a_second_ctrl_c_ends_at_once_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, KeyboardInterrupt()) == 130
    assert "automl resume" in capsys.readouterr().err


def test_a_fault_of_ours_exits_with_1_and_keeps_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, ZeroDivisionError("division by zero")) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "fault of automl: ZeroDivisionError" in err


def test_a_full_disk_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(monkeypatch, OSError(28, "No space left on device")) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "free space" in err


def test_json_goes_to_stdout_and_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"macs": 5, "names": ["é"]})
    assert json.loads(capsys.readouterr().out) == {"macs": 5, "names": ["é"]}
    with pytest.raises(ValueError, match="JSON"):
        show_json(float("nan"))


def test_what_a_file_says_cannot_pass_for_a_message_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, InputError("'\x1b[2J' is no name.\nerror: All is lost.")) == 2
    assert capsys.readouterr().err == "error: '\\x1b[2J' is no name.\n  error: All is lost.\n"


@pytest.mark.parametrize("kind", [SearchError, OSError, ZeroDivisionError])
def test_how_a_run_ended_stands_below_what_ended_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[Exception]
) -> None:
    error = kind(5, "It failed.") if kind is OSError else kind("It failed.")
    error.add_note("Run      runs/a\x1b[2J\nGo on    automl resume a")
    assert outcome(monkeypatch, error) == 1
    *_, message, run, again = capsys.readouterr().err.splitlines()
    assert message.startswith("error: ")
    assert "It failed." in message
    assert (run, again) == ("Run      runs/a\\x1b[2J", "Go on    automl resume a")


def test_a_path_that_cannot_be_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(monkeypatch, OSError(36, "File name too long", "x" * 300)) == 2
