import json
from dataclasses import replace
from pathlib import Path

import pytest

from automl.core.errors import RunError
from automl.report.front import FrontPoint
from automl.report.metrics import LayerBits, Metrics, read_metrics, write_metrics


def test_metrics_survive_the_way_through_their_file(tmp_path: Path, metrics: Metrics) -> None:
    for written in (metrics, replace(metrics, finetuned=None), replace(metrics, accuracy_is="agreement")):
        write_metrics(tmp_path / "metrics.json", written)
        assert read_metrics(tmp_path / "metrics.json") == written


def test_the_file_has_the_documented_layout(tmp_path: Path, metrics: Metrics) -> None:
    write_metrics(tmp_path / "metrics.json", metrics)
    value = json.loads((tmp_path / "metrics.json").read_text())
    assert set(value) == {
        "baseline", "uniform", "best", "finetuned", "quantized", "budgets", "layers", "search", "accuracy_is", "splits",
        "timing", "front",
    }  # fmt: skip
    for name in ("baseline", "uniform", "best", "finetuned"):
        assert set(value[name]) == {
            "accuracy", "accuracy_ci95", "macs", "params", "size_bytes", "bops", "latency_ms",
        }  # fmt: skip
    assert set(value["budgets"][0]) == {"metric", "asked", "predicted", "measured", "met"}
    assert set(value["search"]) == {
        "engine", "trials", "evaluations", "seconds", "table_rank_correlation", "winner",
    }  # fmt: skip
    assert value["baseline"]["accuracy_ci95"] == [0.961, 0.988]
    assert value["budgets"][1]["measured"] is None


def test_a_front_survives_the_way_through_the_file(tmp_path: Path, metrics: Metrics) -> None:
    point = FrontPoint(7, "size", 2_000_000.0, 0.25, 0.9, (0.86, 0.93))
    ranged = replace(metrics, front=(point,))
    write_metrics(tmp_path / "metrics.json", ranged)
    assert read_metrics(tmp_path / "metrics.json") == ranged
    older = ranged.to_json()
    del older["front"]
    assert Metrics.from_json(older) == metrics


def test_only_quantized_rows_say_whether_they_are_simulated(metrics: Metrics) -> None:
    quantized = replace(metrics, best=replace(metrics.best, simulated=True))
    value = quantized.to_json()
    assert value["best"]["simulated"] is True
    assert "simulated" not in value["baseline"]
    assert Metrics.from_json(value) == quantized


def test_a_run_without_a_result_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no result yet"):
        read_metrics(tmp_path / "metrics.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"baseline": 3}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(RunError, match="must be readable"):
        read_metrics(path)


def test_layers_survive_with_what_their_bits_are(tmp_path: Path, rounded: Metrics) -> None:
    write_metrics(tmp_path / "metrics.json", rounded)
    assert read_metrics(tmp_path / "metrics.json") == rounded
    value = json.loads((tmp_path / "metrics.json").read_text())
    assert value["layers"][1] == {
        "layer": "block", "weight": 4, "activation": 8, "stored": 4, "executed": 8, "simulated": True,
    }  # fmt: skip
    assert value["quantized"]["quantization_loss"] == 0.005
    assert value["quantized"]["mean_weight_bits"] == 5.2
    assert rounded.final == rounded.quantized


def test_what_was_timed_survives(tmp_path: Path, timed: Metrics) -> None:
    write_metrics(tmp_path / "metrics.json", timed)
    assert read_metrics(tmp_path / "metrics.json") == timed
    value = json.loads((tmp_path / "metrics.json").read_text())["timing"]
    assert (value["runtime"], value["version"], value["cpu"], value["threads"]) == (
        "onnxruntime",
        "9.9",
        "A Fine CPU",
        1,
    )
    assert value["networks"]["exported"] == {
        "ms": 1.5, "p10_ms": 1.25, "min_ms": 1.0, "raw_median_ms": 1.75, "calls": 1000, "clean": 0.5,
    }  # fmt: skip


def test_a_file_of_before_bit_widths_is_read(metrics: Metrics) -> None:
    value = metrics.to_json()
    del value["quantized"], value["layers"], value["timing"]
    assert Metrics.from_json(value) == metrics


@pytest.mark.parametrize(
    ("weight", "activation", "executed", "simulated"),
    [(8, 8, 8, False), (8, 8, 32, True), (4, 8, 8, True), (8, 4, 8, True), (6, 6, 8, True)],
)
def test_a_layer_is_simulated_where_its_kernel_has_more_bits(
    weight: int, activation: int, executed: int, simulated: bool
) -> None:
    assert LayerBits("layer", weight, activation, 8, executed).simulated == simulated
