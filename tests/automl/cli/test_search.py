import pytest

from automl.cli.search import seconds
from automl.core.errors import InputError
from tests.automl.cli.conftest import Cli


@pytest.mark.parametrize(("text", "expected"), [("90s", 90.0), ("30m", 1800.0), ("2h", 7200.0), ("1.5h", 5400.0)])
def test_times_have_a_unit(text: str, expected: float) -> None:
    assert seconds("--time", text) == expected


@pytest.mark.parametrize("text", ["", "30", "m", "30x", "half an hour"])
def test_a_time_without_a_number_or_unit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as 30m"):
        seconds("--time", text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--budget 0.25flops"),
        (["--budget", "0flops"], "above 0"),
        (["--budget", "5ms", "--target", "none.json"], "none.json"),
        (["--budget", "0.5flops", "--model", "cifar_resnet2"], "cifar_resnet20"),
        (["--budget", "0.5flops", "--engine", "tp"], "Did you mean tpe"),
        (["--budget", "0.5flops", "--name", "a/b"], "holds no path"),
        (["--budget", "0.5flops", "--weights", "none.pth"], "none.pth"),
        (["--budget", "0.5flops", "--time", "soon"], "such as 30m"),
        (["--pareto", "flops:0.6..0.2"], "Turn it round: flops:0.2..0.6"),
        (["--pareto", "latency:0.2..0.6"], "would have to be timed"),
        (["--pareto", "flops:0.2..0.6", "--budget", "0.5flops"], "both limit flops"),
        (["--pareto", "flops:0.2..0.6", "--trials", "9"], "needs 10 of them, but got `--trials 9`"),
        (["--pareto", "flops:0.001..0.6"], "The nearest reachable budget is"),
    ],
)
def test_bad_input_exits_with_2_says_the_way_out_and_leaves_no_run(
    automl: Cli, arguments: list[str], words: str
) -> None:
    outcome = automl("search", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert automl("status", "--json").out == "[]\n"
