from dataclasses import replace
from datetime import UTC, datetime

import pytest

from automl.report.metrics import BudgetLine, LayerBits, Metrics, ModelRow, SearchSummary
from automl.report.timing import TimedName, Timing
from automl.runtime.calls import Summary
from automl.runtime.target import Runtime
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
        quantized=None,
        budgets=(
            BudgetLine("flops", 75_200_000.0, 75_100_000.0, 75_100_000.0, met=True),
            BudgetLine("size", 2_000_000.0, 7_100_000.0, None, met=False),
        ),
        layers=(),
        search=SearchSummary("tpe", trials=40, evaluations=38, seconds=61.2),
        accuracy_is="accuracy",
        splits={"train": 1000, "search": 200, "test": 360},
    )


@pytest.fixture
def rounded(metrics: Metrics) -> Metrics:
    """With bit-widths: two layers of three run in integer kernels, one of them in more bits than it has."""
    quantized = replace(
        metrics.finetuned or metrics.best,
        accuracy=0.964,
        bops=40 * 75_200_000,
        size_bytes=700_000,
        simulated=True,
        quantization_loss=0.005,
        mean_weight_bits=5.2,
    )
    layers = (LayerBits("stem", 8, 8, 8, 8), LayerBits("block", 4, 8, 4, 8), LayerBits("odd", 8, 8, 8, 32))
    return replace(metrics, quantized=quantized, layers=layers)


@pytest.fixture
def timed(rounded: Metrics) -> Metrics:
    """With what was timed."""
    networks: dict[TimedName, Summary] = {
        "dense": Summary(4.5, 4.25, 4.0, 4.75, 4000, 0.875),
        "exported": Summary(1.5, 1.25, 1.0, 1.75, 1000, 0.5),
        "float": Summary(2.5, 2.25, 2.0, 2.75, 1000, 0.75),
    }
    return replace(rounded, timing=Timing(Runtime.ONNXRUNTIME, "9.9", "A Fine CPU", 1, 0.04, networks))


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
