"""The files of a network, verified: policy, channel list, weights, and the ONNX file held against torch."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from automl.compress.quantized import QuantizedNetwork
from automl.core.policy import CompressionPolicy
from automl.evaluate.held import Batches
from automl.export.channels_file import write_channels
from automl.export.executed import executed_bits
from automl.export.onnx_file import export_onnx
from automl.export.policy_file import PolicyFile, write_policy
from automl.export.quantized_onnx import export_quantized
from automl.export.recount import OnnxCost, recount
from automl.export.verify import check, check_quantized, parity, unrest
from automl.export.weights_file import WeightsInfo, write_weights
from automl.pipeline.subject import Subject
from automl.report.metrics import LayerBits


@dataclass(frozen=True, slots=True)
class Exported:
    """Files of one network, verified."""

    onnx_cost: OnnxCost
    agreement: str
    """How well ONNX Runtime and torch agree, in words."""
    layers: tuple[LayerBits, ...]
    """Bit-widths of a quantized file; empty for a float one."""


def export_network(
    folder: Path, subject: Subject, policy: CompressionPolicy, network: nn.Module, images: Batches
) -> Exported:
    """Writes the policy, the weights and `model.onnx` to `folder` and holds the ONNX file against torch.

    The policy is `policy.json`, and `channels.json` where an AMC channel list says it.

    Args:
        folder: Where to write.
        subject: Says what the network is made for.
        policy: What made it.
        network: A `QuantizedNetwork` on its grids where the policy has bit-widths.
        images: What both run on.

    Raises:
        ExportError: If the ONNX file computes something else.
    """
    shape = subject.splits.input_shape
    full = {group.name: group.channels for group in subject.traced.graph.prunable}
    write_policy(folder / "policy.json", PolicyFile(policy, subject.config.model, shape, subject.network.classes, full))
    write_channels(folder / "channels.json", subject.traced.graph, policy)
    write_weights(folder / "model.safetensors", network, WeightsInfo(subject.config.model, policy.digest()))
    path, threads = folder / "model.onnx", torch.get_num_threads()
    if not isinstance(network, QuantizedNetwork):
        export_onnx(network, shape, path)
        result = parity(network, path, (batch for batch, _ in images), threads=threads)
        check(result)
        return Exported(recount(path), f"agrees with torch to {result.max_abs_difference:.1e}", ())
    export_quantized(network, shape, path)
    result = parity(network, path, (batch for batch, _ in images), threads=threads)
    own = check_quantized(result, lambda: unrest(network, (batch for batch, _ in images)))
    said = f"gives torch's class to {100 * result.same_top1:.2f}% of {result.images} images"
    if own is not None:
        said += f" (torch itself to {100 * own.same_top1:.2f}% where they move by a hundredth of a grey level)"
    layers = [
        LayerBits(name, policy.bits[name].weight, policy.bits[name].activation, each.stored, each.executed)
        for name, each in executed_bits(path).items()
        if name in policy.bits
    ]
    return Exported(recount(path), said, tuple(layers))
