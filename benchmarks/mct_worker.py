"""Sony's Model Compression Toolkit (MCT), in an interpreter of its own: it wants older libraries than ours.

    python -m benchmarks.mct_worker TASK RESULT

reads what `benchmarks.mct_peer` wrote, and writes the bits of every layer and what its own network answers. The
toolkit scores bits by how far they move activations, then solves an integer program, and refines that greedily.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import model_compression_toolkit as mct
import torch
from model_compression_toolkit.core.common.matchers.node_matcher import BaseNodeMatcher
from torch import Tensor, nn

_BATCH = 64


class _Named(BaseNodeMatcher):  # type: ignore[misc]
    """Chooses the nodes of some layers."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def apply(self, input_object: Any) -> bool:
        """Whether this node is one of them."""
        return input_object.name in self._names


def run(task: Mapping[str, Any]) -> dict[str, Any]:
    """What `benchmarks.mct_peer` reads: bits, seconds, logits of the test images."""
    torch.set_num_threads(task["threads"])
    network: nn.Module = task["network"].eval()
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    started = time.perf_counter()
    made = _quantized(network, task, sum(layer.weight.numel() for layer in layers.values()))
    seconds = time.perf_counter() - started
    modules = dict(made.named_modules())
    bits = {name: _bits(next(modules[node] for node in _nodes(name) if node in modules)) for name in layers}
    with torch.no_grad():
        logits = torch.cat([made(images).float() for images in torch.split(task["test"], _BATCH)])
    return {"bits": bits, "seconds": seconds, "logits": logits}


def _quantized(network: nn.Module, task: Mapping[str, Any], weights: int) -> nn.Module:
    images: Tensor = task["calibration"]

    def batches() -> Iterator[list[Tensor]]:
        for batch in torch.split(images, _BATCH):
            yield [batch]

    fixed = mct.core.BitWidthConfig()
    ends = {node for name in task["ends"] for node in _nodes(name)}
    fixed.set_manual_weights_bit_width(_Named(ends), task["end_bits"], "weight")
    made, _ = mct.ptq.pytorch_post_training_quantization(
        in_module=network,
        representative_data_gen=batches,
        target_resource_utilization=mct.core.ResourceUtilization(weights_memory=weights * task["mean_bits"] / 8),
        core_config=mct.core.CoreConfig(
            mixed_precision_config=mct.core.MixedPrecisionQuantizationConfig(), bit_width_config=fixed
        ),
        # Weights of 2, 4 and 8 bits per channel, activations of 8.
        target_platform_capabilities=mct.get_target_platform_capabilities(tpc_version="1.0", device_type="imx500"),
    )
    assert isinstance(made, nn.Module)
    return made


def _nodes(layer: str) -> tuple[str, str]:
    """What the toolkit calls a layer, with its batch norm and without."""
    name = layer.replace(".", "_")
    return f"{name}_bn", name


def _bits(wrapped: Any) -> int:
    return int(wrapped.weights_quantizers["weight"].num_bits)


if __name__ == "__main__":
    torch.save(run(torch.load(sys.argv[1], weights_only=False)), sys.argv[2])
