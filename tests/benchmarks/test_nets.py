from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from automl.core.errors import InputError
from automl.models.weights import weights_digest
from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import open_subject
from automl.report.progress import Progress
from automl.store.config import RunConfig
from benchmarks import nets
from benchmarks.nets import BY_DEFAULT, NETS, Net, at_budget, find_nets, open_net


def test_nets_are_found_by_name() -> None:
    assert [net.name for net in find_nets("digits,resnet20-clutter")] == ["digits", "resnet20-clutter"]
    assert {net.name for net in find_nets(BY_DEFAULT)} < {net.name for net in NETS}
    with pytest.raises(InputError, match=r"resnet20-clutter.*'no-net'"):
        find_nets("no-net")


def test_another_budget_changes_the_projection_and_nothing_else() -> None:
    subject = open_subject(RunConfig("tests.benchmarks.test_peers:tiny", "digits", ("1flops",), limit=300))
    half = at_budget(subject, "0.5flops")
    assert half.traced is subject.traced
    assert half.model is subject.model
    assert str(half.budget) == "0.5flops"
    full = np.array([knob.choices[-1] for knob in subject.space.knobs])
    share = subject.projection.used(half.projection(full.astype(np.float64))[None])[0]
    assert 0.4 < share <= 0.5


@pytest.mark.slow
def test_a_seed_divides_the_images_anew_and_leaves_the_test_set_and_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nets, "CACHE", tmp_path / ".cache")
    console = Console(quiet=True)
    net = Net("small", "tests.benchmarks.test_peers:colourful", "synthetic:clutter?images=1000", epochs=1)
    with Progress(console) as progress:
        talk = Conversation(console, progress, lambda: False)
        first, other = open_net(net, 0, talk), open_net(net, 1, talk)
    assert torch.equal(first.splits.test[5][0], other.splits.test[5][0])
    assert not torch.equal(first.splits.calibration[5][0], other.splits.calibration[5][0])
    assert weights_digest(first.model) == weights_digest(other.model)
