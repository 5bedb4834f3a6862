from datetime import UTC, datetime

import pytest

from automl.report.metrics import BudgetLine, Metrics, ModelRow, SearchSummary
from automl.store.config import RunConfig
from automl.store.manifest import Fingerprint, Machine, Manifest


@pytest.fixture
def metrics() -> Metrics:
    dense = ModelRow(0.978, (0.961, 0.988), 300_800_000, 3_504_872, 14_200_000, 1024 * 300_800_000)
    quarter = ModelRow(0.9, (0.861, 0.928), 75_200_000, 1_752_436, 7_100_000, 1024 * 75_200_000)
    tuned = ModelRow(0.969, (0.951, 0.981), 75_200_000, 1_752_436, 7_100_000, 1024 * 75_200_000)
    return Metrics(
        baseline=dense,
        uniform=quarter,
        best=quarter,
        finetuned=tuned,
        budgets=(
            BudgetLine("flops", 75_200_000.0, 75_100_000.0, 75_100_000.0, met=True),
            BudgetLine("size", 2_000_000.0, 7_100_000.0, None, met=False),
        ),
        search=SearchSummary("tpe", trials=40, evaluations=38, seconds=61.2),
        accuracy_is="accuracy",
        splits={"train": 1000, "search": 200, "test": 360},
    )


@pytest.fixture
def config() -> RunConfig:
    return RunConfig(model="torchvision:mobilenet_v2", data="digits", budget=("0.25flops",))


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        schema=1,
        packages={"automl": "0.1.0", "torch": "2.15.0"},
        machine=Machine("A CPU", 2, "Linux"),
        seed=7,
        started=datetime(2026, 1, 2, tzinfo=UTC).isoformat(),
        command=("automl", "search", "--budget", "0.25flops"),
        fingerprint=Fingerprint("torchvision:mobilenet_v2", "aa11", "bb22", "cc33", "0.25flops"),
    )
