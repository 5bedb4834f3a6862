import json
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.export.policy_file import read_policy
from automl.pipeline.describing import describe
from automl.pipeline.exporting import export_network
from automl.pipeline.held import held
from automl.pipeline.subject import Subject, open_subject
from automl.store.config import RunConfig

HIDDEN_LINEAR = "tests.automl.pipeline.test_exporting:hidden_linear"


def hidden_linear(classes: int = 10) -> nn.Module:
    """Two convolutions and a linear layer in front of the classes, as in VGG."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, classes),
    )  # fmt: skip


@pytest.fixture(scope="module")
def subject() -> Subject:
    return open_subject(RunConfig(HIDDEN_LINEAR, "digits", ("0.5flops",), device="cpu", limit=200))


def test_an_export_has_the_list_of_channels_and_both_files_describe_one_network(
    tmp_path: Path, subject: Subject
) -> None:
    policy = CompressionPolicy({"0": 4, "2": 6, "5": 12})
    first = {group: np.arange(count) for group, count in policy.channels.items()}
    network = slim(subject.model, subject.traced.channel_map, first).eval()
    export_network(tmp_path, subject, policy, network, held(subject, subject.splits.selection))
    assert json.loads((tmp_path / "channels.json").read_text()) == [3, 4, 6, 12]
    described = [describe(HIDDEN_LINEAR, policy_file=tmp_path / f"{name}.json") for name in ("channels", "policy")]
    assert described[0].policy == described[1].policy == read_policy(tmp_path / "policy.json").policy
