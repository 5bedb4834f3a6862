import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.core.bits import BitWidths
from automl.core.policy import CompressionPolicy
from automl.core.sensitivity import SensitivityTable
from automl.pipeline.detailing import details, examples, layer_rows
from automl.pipeline.profiling import target_of
from automl.pipeline.settling import timed_candidates
from automl.pipeline.subject import Subject, open_space, open_subject
from automl.report.metrics import Metrics, ModelRow, SearchSummary
from automl.report.timing import Timing
from automl.runtime.device_profile import write_profile
from automl.runtime.target import Runtime
from automl.store.answers import ImageAnswers
from automl.store.run import create_run
from tests.automl.pipeline.test_profiling import CHAIN, CONFIG
from tests.devices import by_macs, profile

POLICY = CompressionPolicy({"0": 8, "2": 16}, {"2": BitWidths(4, 8)})
TABLE = SensitivityTable(("0", "2"), ((4, 8, 16), (8, 32)), ((3.0, 2.0, 0.0), (5.0, 0.0)))


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A device on which time is a matter of multiply-adds."""
    _, traced, space = open_space(CONFIG, timed=True)
    path = tmp_path_factory.mktemp("device") / "device.json"
    write_profile(path, profile(traced, space.knobs, target_of(CHAIN, traced.graph, "fp32", 1), by_macs(traced)))
    return open_subject(replace(CONFIG, target=str(path)))


def given(subject: Subject, unlike: int) -> ImageAnswers:
    """Everything right, but that the exported network says 1 more to so many images."""
    labels = np.array(subject.splits.test.labels, dtype=np.int32)
    best = labels.copy()
    best[:unlike] = (labels[:unlike] + 1) % 10
    return ImageAnswers("", labels, {"baseline": labels, "best": best})


def test_every_layer_is_told_dense_and_as_the_policy_has_it(subject: Subject) -> None:
    first, second, classes = layer_rows(subject, TABLE, POLICY)
    # Digits are 1 x 16 x 16 here; the second convolution has a stride of 2 and no padding.
    assert (first.outputs, first.inputs, first.macs) == ((16, 8), (1, 1), (16 * 9 * 256, 8 * 9 * 256))
    assert (second.outputs, second.inputs, second.macs) == ((32, 16), (16, 8), (32 * 16 * 9 * 49, 16 * 8 * 9 * 49))
    assert (classes.outputs, classes.inputs, classes.macs) == ((10, 10), (32, 16), (320, 160))
    assert [row.group for row in (first, second, classes)] == ["0", "2", None]
    assert (first.weight_bits, second.weight_bits, second.activation_bits) == (32, 4, 8)


def test_sensitivity_is_told_at_half_and_as_chosen_where_the_table_knows(subject: Subject) -> None:
    first, second, classes = layer_rows(subject, TABLE, POLICY)
    assert (first.loss_at_half, first.loss_as_chosen) == (2.0, 2.0)
    # 8 is nearer to half of 32 than 32 is, and 16 is no choice of the table.
    assert (second.loss_at_half, second.loss_as_chosen) == (5.0, None)
    assert (classes.loss_at_half, classes.loss_as_chosen) == (None, None)


def test_the_latencies_of_layers_add_up_to_less_than_the_network_and_shrink_with_it(subject: Subject) -> None:
    rows = layer_rows(subject, TABLE, POLICY)
    dense, kept = (sum((row.latency_ms or (0, 0))[which] for row in rows) for which in (0, 1))
    assert 0 < kept < dense
    assert dense <= 1.01 * (subject.dense_cost.latency_ms or 0)


def test_without_a_device_there_are_no_latencies() -> None:
    rows = layer_rows(open_subject(replace(CONFIG, budget=("0.5flops",))), TABLE, POLICY)
    assert [row.latency_ms for row in rows] == [None] * 3


def test_a_few_images_stand_for_all_that_are_answered_differently(subject: Subject) -> None:
    splits = subject.splits
    found = examples(splits.test, splits.classes, given(subject, 29))
    assert [each.index for each in found] == [0, 4, 8, 12, 16, 20, 24, 28]
    for each in found:
        label = splits.test.labels[each.index]
        assert (each.label, each.dense, each.compressed) == (str(label), str(label), str((label + 1) % 10))
        image = Image.open(io.BytesIO(base64.b64decode(each.png)))
        assert np.array_equal(np.asarray(image), splits.test.picture(each.index)[0].numpy())
    assert len(examples(splits.test, splits.classes, given(subject, 3))) == 3
    assert examples(splits.test, splits.classes, given(subject, 0)) == ()


def test_without_labels_classes_have_numbers(subject: Subject) -> None:
    answers = given(subject, 1)
    nothing = replace(answers, labels=np.full_like(answers.labels, -1))
    (found,) = examples(subject.splits.test, (), nothing)
    said = subject.splits.test.labels[0]
    assert (found.label, found.dense, found.compressed) == (None, f"class {said}", f"class {(said + 1) % 10}")


def test_networks_are_told_as_predicted_and_as_timed(subject: Subject) -> None:
    row = ModelRow(1.0, (0.9, 1.0), 1, 1, 1, 1, latency_ms=0.75)
    timing = Timing(Runtime.ONNXRUNTIME, "1", "A CPU", 1, 0.0, {})
    metrics = Metrics(row, row, row, None, None, (), (), SearchSummary("solver", 1, 1, 1.0), "accuracy", {}, timing)
    policy = CompressionPolicy(POLICY.channels)
    timed = details(subject, TABLE, policy, [(policy, 0.5)], metrics, given(subject, 0)).timed
    assert [each.timed_as for each in timed] == ["profile"] * 33 + ["candidate", "result"]
    predicted = subject.cost_model(policy).latency_ms
    assert [(each.predicted_ms, each.measured_ms) for each in timed[-2:]] == [(predicted, 0.5), (predicted, 0.75)]
    # On this device predictions are exact.
    assert all(each.predicted_ms == pytest.approx(each.measured_ms, rel=0.01) for each in timed[:33])


def test_candidates_that_were_timed_are_remembered(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    assert timed_candidates(run) == []
    (run.state / "settled.json").write_text('[{"origin": "x", "policy": {"channels": {"0": 4}, "bits": {}}, "ms": 2}]')
    assert timed_candidates(run) == [(CompressionPolicy({"0": 4}), 2.0)]
    (run.state / "settled.json").write_text("damaged")
    assert timed_candidates(run) == []
