"""`automl describe`."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli.options import InputSize, Json


def describe(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="timm:NAME, torchvision:NAME, cifar_resnet20|32|56, pkg.mod:factory.")
    ],
    policy: Annotated[
        Path | None,
        typer.Option(help="JSON file: our policy.json, AMC's list of channels, or GluonCV's weight shapes."),
    ] = None,
    input_size: InputSize = None,
    weights: Annotated[
        str | None, typer.Option(help="Check that these weights fit: a .pth or .safetensors file, or `pretrained`.")
    ] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Number of classes; the default is the model's.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer, too.")] = False,
    json: Json = False,
) -> None:
    """Show what a network costs and which channels can be removed; with a policy, what it leaves of them.

    Published tables count at 224 px, which is the default here; 32 px for the CIFAR ResNets.
    """
    from automl.cli.listing import listing, show_line
    from automl.cli.outcome import show_json
    from automl.pipeline import describing
    from automl.report.console import show_cost, show_coverage, show_groups, show_layers

    found = describing.describe(model, policy_file=policy, input_size=input_size, weights=weights, classes=classes)
    if json:
        show_json(found.to_json())
        return
    console = listing()
    show_line(console, f"{model} at {'x'.join(str(size) for size in found.graph.input_shape)}")
    show_cost(console, found.dense, found.compressed)
    show_coverage(console, found.coverage)
    show_groups(console, found.graph, found.kept)
    if layers:
        show_layers(console, found.graph, found.kept, found.bits)
