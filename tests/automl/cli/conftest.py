import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from automl.cli.main import app
from automl.cli.outcome import run_and_exit
from automl.core.cost import Cost
from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.export.policy_file import PolicyFile, write_policy
from automl.report.metrics import BudgetLine, Metrics, ModelRow, SearchSummary, write_metrics
from automl.store.address import StudyAddress
from automl.store.answers import ImageAnswers, write_answers
from automl.store.config import RunConfig, to_toml
from automl.store.files import write_text
from automl.store.manifest import SCHEMA_VERSION, Fingerprint, Machine, Manifest, manifest_text
from automl.store.run import Run, create_run
from automl.store.study import open_study
from tests.contracts.trials import tell

DIVERGENCES = (0.5, 0.2, 0.3)
MANIFEST = Manifest(
    schema=SCHEMA_VERSION,
    packages={"automl": "0.1.0"},
    machine=Machine("A CPU", 2, "Linux"),
    seed=0,
    started="2026-01-02T00:00:00+00:00",
    command=("automl", "search"),
    fingerprint=Fingerprint("cifar_resnet20", "aa11", "bb22", "cc33", "0.5flops"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]
MakeRun = Callable[..., Run]


@pytest.fixture
def automl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs the command line in this process, in an empty folder, as `automl ARGUMENTS` would."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["automl", *map(str, arguments)])
        code = run_and_exit(app)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run folder of three completed trials, of which the second is the best, without any network."""

    def make(name: str, *, asked: int = 3, trials: int = 3, done: bool = True, time_s: float | None = None) -> Run:
        run = create_run(tmp_path / "runs", name, {"manifest.json": manifest_text(MANIFEST)})
        config = RunConfig("cifar_resnet20", "digits", ("0.5flops",), trials=asked, time_s=time_s)
        write_text(run.config, to_toml(config))
        with open_study(StudyAddress.of_file(run.study_db)) as study:
            for divergence in DIVERGENCES[:trials]:
                tell(study, evaluation(divergence))
        if done:
            write_metrics(run.metrics, metrics(trials))
            full = {"a": 16, "b": 32}
            write_policy(run.policy, PolicyFile(evaluation(0.2).policy, "cifar_resnet20", (3, 16, 16), 10, full))
            write_answers(run.answers, answers())
        return run

    return make


def evaluation(divergence: float) -> Evaluation:
    policy = CompressionPolicy({"a": 4, "b": round(10 * divergence)})
    cost = Cost(macs=1_000_000, params=20_000, size_bytes=80_000, bops=1_024_000_000)
    return Evaluation(policy, cost, divergence, 1 - divergence, (0.1, 0.9), images=100, seconds=0.1)


def answers(test: str = "images", wrong: Collection[int] = range(3)) -> ImageAnswers:
    """To 100 images: the dense network has 98 right, best and uniform 80, the fine-tuned one all but `wrong`."""

    def wrong_on(places: Collection[int]) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
        found = np.zeros(100, dtype=np.int32)
        found[list(places)] = 1
        return found

    networks = {"baseline": range(2), "uniform": range(20), "best": range(20), "finetuned": wrong}
    labels = np.zeros(100, dtype=np.int32)
    return ImageAnswers(test, labels, {name: wrong_on(places) for name, places in networks.items()})


def metrics(trials: int) -> Metrics:
    dense = ModelRow(0.98, (0.95, 0.99), 2_000_000, 40_000, 160_000, 2_048_000_000)
    best = ModelRow(0.8, (0.75, 0.85), 1_000_000, 20_000, 80_000, 1_024_000_000)
    tuned = ModelRow(0.97, (0.94, 0.98), 1_000_000, 20_000, 80_000, 1_024_000_000)
    return Metrics(
        baseline=dense,
        uniform=best,
        best=best,
        finetuned=tuned,
        quantized=None,
        budgets=(BudgetLine("flops", 1_000_000.0, 1_000_000.0, 1_000_000.0, met=True),),
        layers=(),
        search=SearchSummary("tpe", trials, trials, 1.0),
        accuracy_is="accuracy",
        splits={"test": 100},
    )
