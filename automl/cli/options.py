"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RUNS = Path("runs")

Model = Annotated[
    str | None, typer.Option(help="timm:NAME, torchvision:NAME, cifar_resnet20|32|56 or pkg.mod:factory.")
]
Data = Annotated[
    str | None,
    typer.Option(help="digits, synthetic:clutter, imagefolder:DIR, torchvision:CIFAR10?root=DIR, pkg.mod:factory."),
]
Limit = Annotated[int | None, typer.Option(help="Use at most so many images.")]
Device = Annotated[str | None, typer.Option(help="Where to compute: auto, cpu or cuda.")]
Config = Annotated[Path | None, typer.Option(help="TOML file with any of these settings.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run in the runs folder, or path of one.")]
OwnModel = Annotated[
    str | None, typer.Option("--model", help="The run's model, where it is code of yours: only then is it imported.")
]
OwnData = Annotated[
    str | None, typer.Option("--data", help="The run's data, where it is code of yours: only then is it imported.")
]
Runtime = Annotated[
    str | None,
    typer.Option(help="What latencies are those of: onnxruntime, or openvino (an extra) in true float32 or int8."),
]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout; the rest goes to stderr.")]
InputSize = Annotated[int | None, typer.Option("--input-size", help="Height and width of the images, in pixels.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of training; the default follows the size of the data.")]
