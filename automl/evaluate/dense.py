"""The trained network, and the two ways to make a smaller one of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from automl.compress.folding import fold
from automl.compress.importance import Scores, most_important
from automl.compress.reconstruction import Recovery
from automl.compress.sequential import SequentialRecovery
from automl.compress.surgery import slim
from automl.core.policy import CompressionPolicy
from automl.tracing.channel_map import TracedModel


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
    device: torch.device
    _fitted: dict[str, Mapping[str, Tensor]] = field(default_factory=dict, init=False)
    """Digest -> weights and buffers of the finalists so far; a run asks for the same few several times."""

    def slimmed(self, policy: CompressionPolicy) -> nn.Module:
        """The network of `policy` in eval mode, in milliseconds: best channels, recovered weights, corrected norms.

        Nothing runs: what recovery and batch norms need was measured on the dense network. Tensors that the policy
        leaves whole are the dense network's own. Batch norms are folded: the network can answer, but not be trained.
        """
        kept = most_important(self.traced, policy, self.scores)
        smaller = slim(self.model, self.traced.channel_map, kept)
        self.recovery.apply(smaller, kept)
        smaller.eval()
        fold(smaller, self.norms)
        return smaller

    def finalist(self, policy: CompressionPolicy) -> nn.Module:
        """The network of `policy` as well as data without labels can make it: one pass over the calibration images.

        In eval mode, with its own copy of every parameter, so that it can be trained.
        """
        kept = most_important(self.traced, policy, self.scores)
        smaller = slim(self.model, self.traced.channel_map, kept, own_memory=True)
        self.recovery.apply(smaller, kept, own_memory=True)
        smaller.eval()
        known = self._fitted.get(policy.digest())
        if known is not None:
            smaller.load_state_dict(known)
            return smaller
        self.sequential.apply(smaller, kept)
        self._fitted[policy.digest()] = {name: tensor.clone() for name, tensor in smaller.state_dict().items()}
        return smaller
