"""`automl evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from automl.cli.options import Json
from automl.core.limits import MOST_SEED


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An exported network.")],
    data: Annotated[
        str,
        typer.Option(
            help="digits, synthetic:clutter, imagefolder:DIR, torchvision:CIFAR10?root=DIR or pkg.mod:factory."
        ),
    ],
    split: Annotated[Literal["test", "selection", "search"], typer.Option(help="Which images.")] = "test",
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of the splits: that of the run that made the file.")
    ] = 0,
    limit: Annotated[int | None, typer.Option(help="Use at most so many images, as the run did.")] = None,
    json: Json = False,
) -> None:
    """Measure an exported ONNX file on a data set, and count what it costs from the file itself."""
    from rich.console import Console

    from automl.cli.listing import show_line
    from automl.cli.outcome import show_json
    from automl.pipeline.examining import examine_file
    from automl.report.quantity import humanise, percent

    found = examine_file(model, data, split=split, seed=seed, limit=limit)
    if json:
        show_json(
            {
                "model": str(model),
                "data": data,
                "split": split,
                "images": found.images,
                "accuracy": found.accuracy,
                "accuracy_ci95": list(found.accuracy_ci95),
                "macs": found.cost.macs,
                "params": found.cost.params,
                "file_bytes": found.cost.file_bytes,
            }
        )
    console = Console(stderr=True, highlight=False)
    low, high = found.accuracy_ci95
    show_line(
        console,
        f"Accuracy: {percent(found.accuracy)} of {found.images:,} {split} images "
        f"(95% interval {100 * low:.1f} to {100 * high:.1f})",
    )
    cost = found.cost
    show_line(
        console,
        f"The file: {humanise(cost.macs)} MACs, {humanise(cost.params)} parameters, {humanise(cost.file_bytes, 'B')}",
    )
