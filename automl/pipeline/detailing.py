"""What a report tells beside result and trials: layers, timed networks, images that are answered differently."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.core.bits import BitWidths
from automl.core.graph import Layer
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.sensitivity import SensitivityTable
from automl.costs.latency_features import layer_features
from automl.data.dataset import ImageDataset
from automl.pipeline.subject import Subject
from automl.report.details import Details, Example, LayerRow, TimedNetwork
from automl.report.metrics import Metrics
from automl.store.answers import ImageAnswers

_EXAMPLES = 8
_PIXELS = 96
"""Height and width to which larger images are reduced."""


def details(
    subject: Subject,
    table: SensitivityTable,
    policy: CompressionPolicy,
    candidates: Sequence[tuple[CompressionPolicy, float]],
    metrics: Metrics,
    answers: ImageAnswers,
) -> Details:
    """What the report of a result tells beside it.

    Args:
        subject: Of the run.
        table: Its sensitivity table.
        policy: What was exported.
        candidates: Those that were timed, with their milliseconds; none where no latency is limited.
        metrics: The result.
        answers: To the test images, which are open by now.
    """
    return Details(
        policy=policy.digest(),
        layers=layer_rows(subject, table, policy),
        timed=_timed(subject, policy, candidates, metrics),
        examples=examples(subject.splits.test, subject.splits.classes, answers),
    )


def layer_rows(subject: Subject, table: SensitivityTable, policy: CompressionPolicy) -> tuple[LayerRow, ...]:
    """Every layer of the network, dense and as the policy has it."""
    graph = subject.traced.graph
    dense = {group.name: group.channels for group in graph.groups}
    kept = {name: policy.channels.get(name, channels) for name, channels in dense.items()}
    times = _layer_times(subject, policy)
    rows = []
    for layer in graph.layers:
        widths = policy.bits.get(layer.name, BitWidths())
        at_half, as_chosen = _losses(table, layer.name, kept)
        rows.append(
            LayerRow(
                layer=layer.name,
                kind=layer.kind,
                group=_group(layer),
                outputs=(layer.outputs.size(dense), layer.outputs.size(kept)),
                inputs=(layer.inputs.size(dense), layer.inputs.size(kept)),
                macs=(layer.macs(dense), layer.macs(kept)),
                weight_bits=widths.weight,
                activation_bits=widths.activation,
                latency_ms=times.get(layer.name),
                loss_at_half=at_half,
                loss_as_chosen=as_chosen,
            )
        )
    return tuple(rows)


def examples(images: ImageDataset, classes: Sequence[str], answers: ImageAnswers) -> tuple[Example, ...]:
    """A few images that the dense and the exported network answer differently, evenly over all of them.

    Args:
        images: The test split.
        classes: Names by label; empty where there are no labels, and classes have numbers alone.
        answers: To these images.
    """
    dense, final = answers.networks["baseline"], answers.networks[answers.final]
    unlike = np.flatnonzero(dense != final)
    places = np.unique(np.linspace(0, len(unlike) - 1, min(_EXAMPLES, len(unlike))).round().astype(int))

    def name(label: int) -> str:
        return classes[label] if label < len(classes) else f"class {label}"

    found = []
    for index in unlike[places].tolist():
        label = int(answers.labels[index])
        own = name(label) if label >= 0 else None
        found.append(Example(index, _png(images, index), own, name(int(dense[index])), name(int(final[index]))))
    return tuple(found)


def _png(images: ImageDataset, index: int) -> str:
    """The image in base64, reduced where it is large."""
    pixels: NDArray[np.uint8] = images.picture(index).permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((_PIXELS, _PIXELS))
    content = io.BytesIO()
    image.save(content, "png", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


def _group(layer: Layer) -> str | None:
    groups = {group for group, _ in layer.outputs.terms}
    return groups.pop() if len(groups) == 1 else None


def _losses(table: SensitivityTable, name: str, kept: dict[str, int]) -> tuple[float | None, float | None]:
    """What the group of that name loses at the choice nearest to half, and at what the policy keeps; None elsewhere."""
    if name not in table.knobs:
        return None, None
    row = table.knobs.index(name)
    choices, losses = table.choices[row], table.losses[row]
    half = min(range(len(choices)), key=lambda place: abs(choices[place] - choices[-1] / 2))
    chosen = losses[choices.index(kept[name])] if kept[name] in choices else None
    return losses[half], chosen


def _layer_times(subject: Subject, policy: CompressionPolicy) -> dict[str, tuple[float, float]]:
    """Layer -> milliseconds, dense and kept, by the fit of the device's profile; empty where no device is known."""
    if subject.latency is None:
        return {}
    graph, weights = subject.traced.graph, subject.latency.fit.weights
    dense = dense_policy(graph).channels
    names = [group.name for group in graph.prunable]
    widths = np.array([[dense[name] for name in names], [policy.channels.get(name, dense[name]) for name in names]])
    found = {}
    for layer in graph.layers:
        parts = [weights.get(feature, 0.0) * form(widths) for feature, form in layer_features(graph, layer).items()]
        whole, kept = np.sum(parts, axis=0).tolist()
        found[layer.name] = (whole, kept)
    return found


def _timed(
    subject: Subject,
    policy: CompressionPolicy,
    candidates: Sequence[tuple[CompressionPolicy, float]],
    metrics: Metrics,
) -> tuple[TimedNetwork, ...]:
    """Networks whose latency was predicted and measured, those of the device's profile first."""
    if subject.latency is None:
        return ()
    profile = subject.latency.profile
    measured = profile.latency_ms().tolist()
    found = [
        TimedNetwork("profile", _predicted_ms(subject, CompressionPolicy(channels)), ms)
        for number, (channels, ms) in enumerate(zip(profile.policies, measured, strict=True))
        if number == 0 or number != profile.reference  # that one is in float where the others are not
    ]
    found += [TimedNetwork("candidate", _predicted_ms(subject, each), ms) for each, ms in candidates]
    if metrics.timing is not None and metrics.final.latency_ms is not None:
        found.append(TimedNetwork("result", _predicted_ms(subject, policy), metrics.final.latency_ms))
    return tuple(found)


def _predicted_ms(subject: Subject, policy: CompressionPolicy) -> float:
    return subject.cost_model(policy).latency_ms or 0.0
