import json
import subprocess
import sys

from automl import __version__
from tests.automl.cli.conftest import Cli

_HELP = """
import sys
from automl.cli.main import main
sys.argv = ["automl", "--help"]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
heavy = {"torch", "torchvision", "timm", "optuna", "numpy", "scipy", "onnx", "onnxruntime"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_answers_without_loading_any_framework() -> None:
    done = subprocess.run([sys.executable, "-c", _HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "describe" in done.stdout


def test_stdout_holds_json_and_nothing_else() -> None:
    command = [sys.executable, "-m", "automl", "describe", "cifar_resnet20", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["model"] == "cifar_resnet20"
    assert done.stderr == ""


def test_the_version_is_shown(automl: Cli) -> None:
    assert automl("--version").out == f"automl {__version__}\n"


def test_an_unknown_command_is_bad_input(automl: Cli) -> None:
    outcome = automl("compress")
    assert outcome.code == 2
    assert "compress" in outcome.err
