"""The trained network, and the two ways to make a smaller one of it."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from automl.compress.biases import round_biases
from automl.compress.calibration import Rounding, quantize
from automl.compress.folding import fold
from automl.compress.importance import Scores, most_important
from automl.compress.places import Places
from automl.compress.quantized import QuantizedNetwork
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.tracing.channel_map import TracedModel

_FEW = 32
"""Images that fit the quantizers of a policy that is only compared with others."""


@dataclass(frozen=True, slots=True, repr=False)
class DenseNetwork:
    """The trained network, and what of it every policy shares."""

    model: nn.Module
    traced: TracedModel
    scores: Scores
    """Importance of each channel."""
    recovery: Recovery
    """Least-squares weights for every layer that loses inputs."""
    sequential: SequentialRecovery
    """Fits finalists layer by layer."""
    norms: Mapping[str, str]
    """Layer -> the batch norm that is folded into it where a network only answers."""
    places: Places
    """Where activations are quantized."""
    calibration: Tensor
    """Images that quantizers are fitted to, shape `(N, C, H, W)`, on `device`."""
    device: torch.device
    _fitted: dict[str, Mapping[str, Tensor]] = field(default_factory=dict, init=False)
    """Digest of the widths -> weights and buffers of the finalists so far; a run asks for the same few often."""

    def slimmed(self, policy: CompressionPolicy) -> nn.Module:
        """The network of `policy` in eval mode, in milliseconds: best channels, recovered weights, corrected norms.

        Nothing runs: what recovery and batch norms need was measured on the dense network. Tensors that the policy
        leaves whole are the dense network's own. Batch norms are folded: the network can answer, but not be trained.
        Where the policy has bit-widths, a few images fit the quantizers.
        """
        kept = most_important(self.traced, policy, self.scores)
        smaller = slim(self.model, self.traced.channel_map, kept)
        self.recovery.apply(smaller, kept)
        smaller.eval()
        fold(smaller, self.norms)
        if not policy.bits:
            return smaller
        return quantize(smaller, self.places, policy.bits, self.calibration[:_FEW])

    def quantized(self, network: nn.Module, policy: CompressionPolicy) -> QuantizedNetwork:
        """A finalist, trained or not, at the policy's bit-widths: rounded with care, ready to answer or to be trained.

        Args:
            network: Of `finalist`; it is not changed.
            policy: Has bit-widths.
        """
        twin = copy.deepcopy(network).eval()
        fold(twin, self.norms)
        rounded = quantize(twin, self.places, policy.bits, self.calibration, Rounding(weights="gptq"))
        round_biases(rounded, self.places.reads)
        return rounded

    def finalist(self, policy: CompressionPolicy) -> nn.Module:
        """The network of `policy` as well as data without labels can make it: one pass over the calibration images.

        In float and in eval mode, with its own copy of every parameter, so that it can be trained.
        """
        kept = most_important(self.traced, policy, self.scores)
        smaller = slim(self.model, self.traced.channel_map, kept, own_memory=True)
        self.recovery.apply(smaller, kept, own_memory=True)
        smaller.eval()
        widths = CompressionPolicy(policy.channels).digest()
        known = self._fitted.get(widths)
        if known is not None:
            smaller.load_state_dict(known)
            return smaller
        self.sequential.apply(smaller, kept)
        self._fitted[widths] = {name: tensor.clone() for name, tensor in smaller.state_dict().items()}
        return smaller
