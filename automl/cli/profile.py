"""`automl profile`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from automl.cli.options import Config, Data, InputSize, Limit, Model, Runtime

_PACK, _PROFILE = Path("pack.zip"), Path("device.json")


def profile(
    out: Annotated[
        Path | None, typer.Option(help=f"The file to write: {_PACK}, or with `--times` {_PROFILE}, if not given.")
    ] = None,
    model: Model = None,
    data: Data = None,
    input_size: InputSize = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or int8, as the search will have it.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of a call; 1 if not given.")] = None,
    runtime: Runtime = None,
    divisor: Annotated[int | None, typer.Option(help="Kept channels are multiples of this.")] = None,
    min_keep: Annotated[float | None, typer.Option(help="Share of every group that always stays.")] = None,
    limit: Limit = None,
    config: Config = None,
    times: Annotated[
        Path | None, typer.Option(help="CSV of another tool: network (N of models/N.onnx), ms, perhaps layer and run.")
    ] = None,
    pack: Annotated[Path | None, typer.Option(help="The pack whose networks `--times` is about.")] = None,
    device_name: Annotated[str | None, typer.Option(help="What the device of `--times` is called.")] = None,
    tool: Annotated[str | None, typer.Option(help="What measured `--times`, with its version.")] = None,
) -> None:
    """Write a pack that times a network's policies on another device, for `automl search --target device.json`.

    The device needs Python with numpy and the runtime, and nothing else: copy the pack there, run `python pack.zip
    device.json`, and copy device.json back.

    For another runtime than ONNX Runtime, unzip the pack, convert each models/N.onnx and time it with that runtime's
    own tool, with as many threads; then `automl profile --times times.csv --pack pack.zip --out device.json`.
    """
    given = {
        "model": model,
        "data": data,
        "input_size": input_size,
        "precision": precision,
        "threads": threads,
        "divisor": divisor,
        "runtime": runtime,
        "min_keep": min_keep,
        "limit": limit,
        "config": config,
    }
    imports = {"times": times, "pack": pack, "device_name": device_name, "tool": tool}
    if all(value is None for value in imports.values()):
        _write_pack(out or _PACK, given)
    else:
        _import_times(out or _PROFILE, imports, given)


def _write_pack(out: Path, given: dict[str, Any]) -> None:
    from rich.console import Console

    from automl.pipeline.settings import bits_of, resolved

    _check_suffix(out, ".zip")
    as_they_are = ("model", "data", "input_size", "threads", "runtime", "min_keep", "limit")
    settings = {name: given[name] for name in as_they_are}
    settings |= {"bits": bits_of(given["precision"], None), "channel_multiple": given["divisor"]}
    config = resolved(given["config"], settings, needs_budget=False)
    from automl.pipeline.subject import write_probes  # seconds, which a refusal of the settings does not need

    networks = write_probes(config, out)
    console = Console(stderr=True, highlight=False)
    console.print(f"{networks} networks in {out}, {out.stat().st_size / 1e6:.1f} MB.")
    console.print(
        f"On the device (numpy and {config.runtime}): python {out.name} device.json\n"
        "Here, with the same model, data, precision, threads and runtime: "
        "automl search --target device.json --budget 0.5latency"
    )


def _import_times(out: Path, imports: dict[str, Any], given: dict[str, Any]) -> None:
    from rich.console import Console

    from automl.core.budget import Metric
    from automl.core.errors import InputError
    from automl.runtime.device_profile import write_profile
    from automl.runtime.importing import imported

    times, pack = imports["times"], imports["pack"]
    if times is None or pack is None:
        got = ", ".join(_option(name) for name, value in imports.items() if value is not None)
        raise InputError(
            f"Another tool's times need `--times` and `--pack` together, but got only {got}. Give the CSV file and "
            "the pack whose networks were timed."
        )
    twice = next((name for name, value in given.items() if value is not None), None)
    if twice is not None:
        raise InputError(f"`--times` takes the settings from the pack, but got {_option(twice)}. Leave it out.")
    _check_suffix(out, ".json")
    made = imported(times, pack, imports["device_name"] or "unnamed device", imports["tool"] or "unnamed tool")
    write_profile(out, made)
    target, dense_ms = made.target, float(made.latency_ms()[made.reference])
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(
        f"{len(made.policies)} networks in {out}; the dense float network takes {Metric.LATENCY.text(dense_ms)}.\n"
        f"Next, with the model {target.arch} and its data, in {target.precision} with {target.threads} thread(s): "
        f"automl search --target {out} --budget 0.5latency"
    )


def _option(name: str) -> str:
    return f"`--{name.replace('_', '-')}`"


def _check_suffix(out: Path, suffix: str) -> None:
    from automl.core.errors import InputError

    if out.suffix != suffix:
        raise InputError(f"`--out` must end in {suffix}, but got {out}. Write {out.with_suffix(suffix)}.")
