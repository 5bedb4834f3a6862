"""`automl profile`."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli.options import Config, Data, InputSize, Limit, Model


def profile(
    out: Annotated[Path, typer.Option(help="The zip file to write.")] = Path("pack.zip"),
    model: Model = None,
    data: Data = None,
    input_size: InputSize = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or int8, as the search will have it.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of a call; 1 if not given.")] = None,
    divisor: Annotated[int | None, typer.Option(help="Kept channels are multiples of this.")] = None,
    min_keep: Annotated[float | None, typer.Option(help="Share of every group that always stays.")] = None,
    limit: Limit = None,
    config: Config = None,
) -> None:
    """Write a pack that times a network's policies on another device, for `automl search --target device.json`.

    The device needs Python with numpy and onnxruntime, and nothing else: copy the pack there, run `python pack.zip
    device.json`, and copy device.json back.
    """
    from rich.console import Console

    from automl.cli.settings import bits_of, resolved
    from automl.core.errors import InputError

    if out.suffix != ".zip":
        raise InputError(f"`--out` must end in .zip, but got {out}. Write {out.with_suffix('.zip')}.")
    given = {
        "model": model,
        "data": data,
        "input_size": input_size,
        "bits": bits_of(precision, None),
        "threads": threads,
        "channel_multiple": divisor,
        "min_keep": min_keep,
        "limit": limit,
    }
    settings = resolved(config, given, needs_budget=False)
    from automl.pipeline.subject import write_probes  # seconds, which a refusal of the settings does not need

    networks = write_probes(settings, out)
    console = Console(stderr=True, highlight=False)
    console.print(f"{networks} networks in {out}, {out.stat().st_size / 1e6:.1f} MB.")
    console.print(
        f"On the device (numpy and onnxruntime): python {out.name} device.json\n"
        "Here, with the same model, data, precision and threads: automl search --target device.json --budget 0.5latency"
    )
