from dataclasses import replace

from automl.report.metrics import Metrics
from automl.report.rows import (
    bits_line,
    budget_table,
    layers_table,
    result_table,
    search_line,
    speed_line,
    timing_line,
    timing_table,
)
from automl.report.timing import Timing
from automl.runtime.target import Runtime


def test_the_final_table_has_a_column_per_network(metrics: Metrics) -> None:
    table = result_table(metrics)
    assert table.header == ("", "Baseline", "Uniform", "Best", "Fine-tuned")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["Accuracy"] == ("97.8%", "90.0%", "90.0%", "96.9%")
    assert rows["95% CI"][0] == "96.1 to 98.8"
    assert rows["MACs"] == ("300.80M", "75.20M (25.0%)", "75.20M (25.0%)", "75.20M (25.0%)")
    assert rows["Parameters"][:2] == ("3.50M", "1.75M (50.0%)")
    assert rows["Size"][:2] == ("14.2 MB", "7.1 MB (50.0%)")
    assert "Latency" not in rows


def test_what_was_not_fine_tuned_has_no_such_column(metrics: Metrics) -> None:
    table = result_table(replace(metrics, finetuned=None))
    assert table.header == ("", "Baseline", "Uniform", "Best")
    assert all(len(row) == 4 for row in table.rows)


def test_agreement_is_called_agreement(metrics: Metrics) -> None:
    assert result_table(replace(metrics, accuracy_is="agreement")).rows[0][0] == "Agreement"


def test_latency_has_a_row_once_it_was_measured(metrics: Metrics) -> None:
    measured = replace(metrics, best=replace(metrics.best, latency_ms=4.125))
    assert result_table(measured).rows[-1] == ("Latency", "-", "-", "4.12 ms", "-")


def test_what_was_timed_is_told_on_its_own_terms(timed: Metrics) -> None:
    assert timed.timing is not None
    table = timing_table(timed.timing)
    assert table.header == ("Timed", "Clean median", "p10", "Fastest", "Raw median", "Calls", "Clean")
    assert table.rows[0] == ("Dense, float", "4.5 ms", "4.25 ms", "4 ms", "4.75 ms", "4,000", "87.5%")
    assert [row[0] for row in table.rows[1:]] == ["Exported", "Exported, in float"]
    assert timing_line(timed.timing).startswith("ONNX Runtime 9.9 on A Fine CPU, 1 thread, batch 1")
    assert "moved by 4.0%" in timing_line(timed.timing)


def test_the_speed_is_told_in_one_line(metrics: Metrics) -> None:
    assert speed_line(metrics) == ""
    assert metrics.finetuned is not None
    tuned = replace(metrics.finetuned, latency_ms=2.0)
    timed = replace(metrics, baseline=replace(metrics.baseline, latency_ms=5.0), finetuned=tuned)
    assert speed_line(timed) == (
        "Latency of one image: 2.50 times as fast as the dense float network. "
        "All of it is predicted by the device's profile."
    )
    timing = Timing(Runtime.OPENVINO, "9.9", "A CPU", 1, 0.0, {})
    told = speed_line(replace(timed, timing=timing))
    assert told == "Latency of one image: 2.50 times as fast as the dense float network, timed in turns in OpenVINO."
    unlike = replace(timed, timing=timing, uniform=tuned, best=tuned)
    assert speed_line(unlike).endswith(". Uniform and Best are predicted, the others were timed in turns in OpenVINO.")
    # What was not fine-tuned is what was exported.
    assert ". Uniform is predicted, the others" in speed_line(replace(unlike, finetuned=None))


def test_a_budget_line_says_asked_predicted_measured_and_met(metrics: Metrics) -> None:
    assert budget_table(metrics.budgets).rows == (
        ("flops", "75.20M", "75.10M", "75.10M", "yes"),
        ("size", "2.0 MB", "7.1 MB", "-", "NO"),
    )


def test_the_search_is_told_in_one_line(metrics: Metrics) -> None:
    assert search_line(metrics) == "tpe: 40 trials, 38 evaluations, 61 s; accuracy on 360 test images."


def test_an_engine_that_loses_to_what_needs_no_search_says_so(metrics: Metrics) -> None:
    said = {
        winner: search_line(replace(metrics, search=replace(metrics.search, winner=winner)))
        for winner in ("tpe", "solver", "uniform")
    }
    assert said["tpe"] == search_line(metrics)
    assert said["solver"].endswith(
        " Best is the solver's plain answer: no policy of tpe did better on the selection split."
    )
    assert "Best is the uniform policy" in said["uniform"]


def test_a_quantized_network_has_its_column_and_its_rows(rounded: Metrics) -> None:
    table = result_table(rounded)
    assert table.header[-1] == "Quantized"
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["Quantization loss"] == ("-", "-", "-", "-", "+0.5 pt")
    assert rows["Bits per weight"] == ("32", "32", "32", "32", "5.2")
    assert rows["BOPs"] == ("308.02G", "25.0%", "25.0%", "25.0%", "1.0%")
    assert rows["95% CI"][0] == "96.1-98.8"


def test_the_bits_are_told_in_one_line(rounded: Metrics, metrics: Metrics) -> None:
    assert bits_line(rounded) == (
        "Bits: w4a8 in 1, w8a8 in 2 of 3 layers. ONNX Runtime runs 2 of them in 8-bit integer kernels; "
        "2 layers simulated: no kernel computes in so few bits."
    )
    assert bits_line(metrics) == ""


def test_every_layer_says_policy_stored_and_executed_bits(rounded: Metrics) -> None:
    assert layers_table(rounded).rows == (
        ("stem", "8", "8", "8", "8", ""),
        ("block", "4", "8", "4", "8", "simulated"),
        ("odd", "8", "8", "8", "float", "simulated"),
    )
