import base64
import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from automl.core.policy import CompressionPolicy
from automl.report.details import Details, Example, LayerRow, TimedNetwork
from automl.report.html import Report
from automl.report.metrics import BudgetLine, LayerBits, Metrics, ModelRow, SearchSummary
from automl.report.timing import TimedName, Timing
from automl.runtime.calls import Summary
from automl.runtime.target import Runtime
from automl.store.answers import ImageAnswers
from automl.store.config import RunConfig
from automl.store.manifest import Fingerprint, Machine, Manifest
from automl.store.trials import CompletedTrial
from tests.contracts.problem import SENSITIVITY, SeparableEvaluator


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


@pytest.fixture
def trials() -> tuple[CompletedTrial, ...]:
    """The uniform policy, then policies of two engines."""
    evaluator, names = SeparableEvaluator(), list(SENSITIVITY)
    policies = [dict.fromkeys(names, 16)]
    policies += [{**policies[0], names[0]: 16 + 4 * i, names[-1]: 16 - 4 * i} for i in (1, 2, 3)]
    policies += [{**policies[0], names[0]: 12, names[-1]: 20}]
    engines = ("solver", "solver", "ddpg", "ddpg", "solver")
    return tuple(
        CompletedTrial(number, engine, number == 0, evaluator(CompressionPolicy(policy)))
        for number, (engine, policy) in enumerate(zip(engines, policies, strict=True))
    )


@pytest.fixture
def layers() -> tuple[LayerRow, ...]:
    """A convolution that is narrowed, one in a dropped branch, and the classes."""
    return (
        LayerRow("stem", "conv", "stem", (16, 12), (3, 3), (6912, 5184), 8, 8, (0.5, 0.375), 0.25, 0.125),
        LayerRow("block.conv1", "conv", "block.conv1", (16, 0), (16, 12), (36864, 0), 4, 8, (1.5, 0.0), 0.5, 0.75),
        LayerRow("classes", "linear", None, (10, 10), (16, 12), (160, 120), 32, 32, (0.25, 0.25), None, None),
    )


@pytest.fixture
def answers() -> ImageAnswers:
    """To 100 images of 4 classes: the dense network has 90 right, uniform 60, best 80, the fine-tuned one 88."""
    labels = np.arange(100, dtype=np.int32) % 4

    def right_on(first: int, last: int) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
        places = np.arange(100)
        return np.where((places >= first) & (places < last), labels, (labels + 1) % 4).astype(np.int32)

    networks = {
        "baseline": right_on(0, 90), "uniform": right_on(0, 60), "best": right_on(0, 80), "finetuned": right_on(2, 90),
    }  # fmt: skip
    return ImageAnswers("images", labels, networks)


@pytest.fixture
def details(layers: tuple[LayerRow, ...]) -> Details:
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, "png")
    png = base64.b64encode(content.getvalue()).decode()
    timed = (
        TimedNetwork("profile", 4.0, 4.25), TimedNetwork("profile", 2.0, 1.875), TimedNetwork("candidate", 1.0, 1.125),
        TimedNetwork("result", 1.0, 1.25),
    )  # fmt: skip
    return Details(
        "digest", layers, timed, (Example(1, png, "cat", "cat", "dog"), Example(9, png, None, "class 1", "class 2"))
    )


@pytest.fixture
def report(
    config: RunConfig,
    manifest: Manifest,
    metrics: Metrics,
    trials: tuple[CompletedTrial, ...],
    details: Details,
    answers: ImageAnswers,
) -> Report:
    """Of a finished run, with everything that a report can have but bit-widths and times."""
    chosen = trials[2].evaluation.policy.digest()
    return Report("mine-2", config, manifest, trials, (), metrics, chosen, details, answers)
