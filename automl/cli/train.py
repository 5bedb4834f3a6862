"""`automl train`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.options import RUNS, Config, Data, Device, Epochs, InputSize, Json, Limit, Model, Runs

if TYPE_CHECKING:
    from automl.evaluate.measure import Measurement


def train(
    model: Model = None,
    data: Data = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights to start from: a .pth or .safetensors file, or `pretrained`.")
    ] = None,
    input_size: InputSize = None,
    epochs: Epochs = None,
    seed: Annotated[int | None, typer.Option(help="Seed of splits and training.")] = None,
    device: Device = None,
    limit: Limit = None,
    config: Config = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the weights to this .safetensors file, for `search --weights`.")
    ] = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Train the dense network alone, the baseline of later searches, and measure it on the test images."""
    from automl.cli.outcome import show_json
    from automl.cli.session import conversation
    from automl.core.errors import InputError
    from automl.pipeline.settings import resolved

    if out is not None and out.suffix != ".safetensors":
        raise InputError(f"`--out` must end in .safetensors, but got {out}. Write {out.with_suffix('.safetensors')}.")
    given = {
        "model": model,
        "data": data,
        "weights": weights,
        "input_size": input_size,
        "epochs": epochs,
        "seed": seed,
        "device": device,
        "limit": limit,
    }
    settings = resolved(config, given, needs_budget=False)
    # Below, because these take seconds, which a refusal of the settings does not need.
    from automl.core.policy import dense_policy
    from automl.export.weights_file import WeightsInfo, write_weights
    from automl.pipeline.examining import examine_baseline
    from automl.pipeline.runs import train_baseline

    with conversation() as talk:
        subject = train_baseline(settings, runs, talk)
        accuracy = examine_baseline(subject)
        if out is not None:
            info = WeightsInfo(settings.model, dense_policy(subject.traced.graph).digest())
            write_weights(out, subject.model, info)
    measured = {"selection": accuracy.selection, "test": accuracy.test}
    for split, result in measured.items():
        talk.say(_said(split, result))
    if out is not None:
        talk.say(f"Weights in {out}")
    talk.say(f"Next: {_next_command(given, config, out)}")
    if json:
        rows = {
            split: {"images": each.images, "accuracy": each.accuracy, "accuracy_ci95": list(each.accuracy_ci95)}
            for split, each in measured.items()
        }
        files = {"weights": None if out is None else str(out.absolute())}
        show_json({"model": settings.model, "data": settings.data, "seed": settings.seed, **files, **rows})


def _said(split: str, result: "Measurement") -> str:
    from automl.report.quantity import percent

    low, high = result.accuracy_ci95
    return (
        f"{split.capitalize()}: {percent(result.accuracy)} of {result.images:,} images "
        f"(95% interval {100 * low:.1f} to {100 * high:.1f})"
    )


def _next_command(given: dict[str, str | int | None], config: Path | None, out: Path | None) -> str:
    """The search of this baseline: with the same settings it finds the trained weights, also without a file."""
    settings = {**given, "config": None if config is None else str(config)}
    if out is not None:
        settings |= {"weights": str(out), "epochs": None}
    words = ["automl", "search", "--budget", "0.25flops"]
    for name, value in settings.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
