import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from automl.core.budget import Metric
from automl.report.details import Details, LayerRow, TimedNetwork
from automl.report.front import front
from automl.report.plots import history_svg, latency_svg, layers_svg, pareto, tradeoff_svg, write_plots
from automl.store.trials import CompletedTrial

Trials = tuple[CompletedTrial, ...]


def words(svg: str) -> set[str]:
    root = ElementTree.fromstring(svg)
    return {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}


def test_the_history_names_the_engines_and_what_it_shows(trials: Trials) -> None:
    shown = words(history_svg(trials, trials[0]))
    assert {"solver", "ddpg", "best so far", "uniform", "completed trials"} <= shown
    assert "uniform" not in words(history_svg(trials, None))


def test_engines_differ_in_form_as_well_as_in_colour(trials: Trials) -> None:
    root = ElementTree.fromstring(history_svg(trials, None))
    marks = [x for x in root.iter("{http://www.w3.org/2000/svg}path") if (x.get("class") or "").startswith("f ")]
    forms = {(x.get("class"), (x.get("d") or "").partition("m")[2].partition("M")[0]) for x in marks}
    assert len(forms) == len({form for _, form in forms}) == 2


def test_a_history_over_decades_has_a_logarithmic_axis(trials: Trials) -> None:
    def told(*divergences: float) -> set[str]:
        pairs = zip(trials, divergences, strict=False)
        return words(history_svg([replace(t, evaluation=replace(t.evaluation, divergence=d)) for t, d in pairs], None))

    assert {"0.01", "0.1", "1"} <= told(0.01, 0.1, 1.0)
    assert "0.01" not in told(0.0, 0.1, 1.0)


def test_the_tradeoff_says_what_is_measured_and_in_which_unit(trials: Trials) -> None:
    chosen = trials[2].evaluation.policy.digest()
    svg = tradeoff_svg(trials, trials[0], chosen, Metric.FLOPS, dense=2048, asked=1024, accuracy_is="agreement")
    assert {
        "MACs (% of the dense 2.05k)", "agreement on the search split, not tuned (%)", "uniform", "budget",
        "exported, not tuned yet",
    } <= words(svg)  # fmt: skip
    absolute = words(tradeoff_svg(trials, None, None, Metric.FLOPS))
    assert "MACs" in absolute
    assert not {"uniform", "budget", "exported, not tuned yet"} & absolute
    # The intervals of the fixture reach up to 100%.
    assert "100" in words(svg)


def test_the_front_has_what_no_other_one_beats() -> None:
    assert pareto([(3, 5), (1, 2), (2, 1), (2, 4), (4, 5), (1, 1)]) == [(1, 2), (2, 4), (3, 5)]
    assert pareto([(1, 1), (1, 1)]) == [(1, 1)]


def test_the_front_of_a_range_bears_the_numbers_of_its_trials_and_says_how_to_export_them(trials: Trials) -> None:
    points = front(trials, Metric.FLOPS)
    svg = tradeoff_svg(trials, trials[0], None, Metric.FLOPS, front=points, run="a<b")
    shown = words(svg)
    assert "no other is nearer to the dense one and smaller" in shown
    for each in points:  # the number, behind what is shown where one points at it
        assert any(word.endswith(f"automl export a<b --trial {each.trial}{each.trial}") for word in shown)


def test_every_layer_has_its_row_whatever_its_name(layers: tuple[LayerRow, ...]) -> None:
    odd = replace(layers[0], layer="net.$a$<b>&_^{")
    shown = words(layers_svg((odd, *layers[1:])))
    assert any("net.$a$<b>&_^{" in word for word in shown)
    assert any(word.endswith("12 w8a8") for word in shown)
    assert any(word.endswith("10 of 10") for word in shown)
    assert {"0.25", "0.5"} <= shown


def test_the_losses_of_layers_end_inside_the_picture(layers: tuple[LayerRow, ...]) -> None:
    small = replace(layers[0], loss_at_half=0.00012345)
    svg = layers_svg((small, replace(small, loss_at_half=0.0026341), replace(small, loss_at_half=0.0)))
    assert {"1e-04", "0.0026", "0"} <= words(svg)
    root = ElementTree.fromstring(svg)
    width = float((root.get("viewBox") or "").split()[2])
    (shown,) = (x for x in root.iter("{http://www.w3.org/2000/svg}text") if "0.0026" in "".join(x.itertext()))
    assert shown.get("text-anchor") == "end"
    assert float(shown.get("x", "inf")) < width


def test_layers_have_milliseconds_where_these_are_known(layers: tuple[LayerRow, ...]) -> None:
    assert "ms" in words(layers_svg(layers))
    assert "ms" not in words(layers_svg([replace(row, latency_ms=None) for row in layers]))


def test_a_dropped_layer_says_so(layers: tuple[LayerRow, ...]) -> None:
    assert any(word.endswith("dropped") for word in words(layers_svg(layers)))
    assert not any(word.endswith("dropped") for word in words(layers_svg(layers[:1])))


def test_latencies_say_what_was_timed(details: Details) -> None:
    shown = words(latency_svg(details.timed))
    assert {"timed for the predictions", "candidate", "exported file", "predicted (ms)", "measured (ms)"} <= shown
    assert "candidate" not in words(latency_svg((TimedNetwork("profile", 1.0, 1.0),)))


def test_one_search_gives_one_picture(trials: Trials) -> None:
    assert history_svg(trials, trials[0]) == history_svg(trials, trials[0])


def test_a_single_trial_is_a_picture_too(trials: Trials) -> None:
    assert "best so far" in words(history_svg(trials[:1], trials[0]))
    assert "budget" in words(tradeoff_svg(trials[:1], None, None, Metric.FLOPS, dense=2048, asked=1024))


def test_plots_are_written_under_their_names(tmp_path: Path) -> None:
    write_plots(tmp_path / "plots", {"layers": "<svg/>"})
    assert (tmp_path / "plots" / "layers.svg").read_text() == "<svg/>"


def test_reports_load_neither_torch_nor_a_plotting_library() -> None:
    code = (
        "import sys, automl.pipeline.reporting, automl.pipeline.comparing; "
        "sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
