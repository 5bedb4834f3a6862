from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.export.onnx_file import export_onnx
from automl.pipeline import clocking
from automl.pipeline.clocking import clock
from automl.pipeline.subject import open_subject
from automl.runtime.pack import Protocol
from tests.automl.pipeline.test_profiling import CONFIG


def test_the_exported_file_is_timed_beside_the_dense_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocking, "_PROTOCOL", Protocol(batch_s=0.0, repeats=1, least_rounds=20, most_rounds=20))
    torch.manual_seed(0)
    subject = open_subject(replace(CONFIG, model="tests.devices:wide", budget=("0.5flops",)))
    policy = CompressionPolicy({"0": 4, "2": 4, "4": 4})
    kept = {name: np.arange(count) for name, count in policy.channels.items()}
    network = slim(subject.model, subject.traced.channel_map, kept, own_memory=True).eval()
    export_onnx(network, subject.splits.input_shape, tmp_path / "model.onnx")
    timed = clock(subject, policy, tmp_path / "model.onnx")
    assert timed.float_ms == timed.final_ms
    assert 0 < timed.final_ms < timed.dense_ms  # a hundredth of the multiply-adds, on however busy a machine
    assert set(timed.timing.networks) == {"dense", "exported"}
    dense, exported = timed.timing.networks["dense"], timed.timing.networks["exported"]
    assert (dense.calls, exported.calls) == (4 * 20 * 2, 20 * 2)  # the anchor is open four times, two calls a turn
    assert 0 < exported.min_ms <= exported.p10_ms <= exported.ms
    assert timed.timing.threads == 1
