"""One assignment of bit-widths, whoever made it: rounded by our quantizer, trained at its bits, measured."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from torch import nn

from automl.core.policy import CompressionPolicy
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.held import Batches
from automl.evaluate.measure import Answers, answers, compare
from automl.pipeline.conversation import Conversation
from automl.pipeline.dense import dense_network
from automl.pipeline.held import held
from automl.pipeline.quantizing import quantized
from automl.pipeline.subject import Subject
from automl.report.progress import Progress
from automl.store.run import create_run
from benchmarks import ours
from benchmarks.bit_task import Assigned, BitMethod, BitTask, policy_of_bits, weight_bits_only

_FINETUNING_PER_EPOCH = 4
"""Training at bit-widths has a quarter of the fine-tuning's epochs."""


@dataclass(frozen=True, slots=True)
class BitResult:
    """What one method reached, on the test images."""

    mean_bits: float
    """Of a weight, first and last layer included."""
    seconds: float
    """From the dense network to the bits."""
    own: float | None
    """Accuracy of the peer's own quantized network, which nobody trains, in [0, 1]; None for ours."""
    before: float
    """Accuracy of the bits in our quantizer, not trained."""
    divergence_before: float
    """KL divergence from the dense network, in nats."""
    after: float
    """Accuracy after the training at these bits."""
    divergence_after: float
    dense: float
    """The dense network's own accuracy."""
    images: int
    """Test images."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


class BitArena:
    """One network and one seed: what all methods share."""

    def __init__(self, subject: Subject, mean: float) -> None:
        """Profiles the dense network; `subject` is trained, under any budget."""
        self._subject = weight_bits_only(subject, mean)
        self._calibration = held(subject, subject.splits.calibration)
        self._search = held(subject, subject.splits.search)
        self._test: Batches = held(subject, subject.splits.test)
        self._reference = answers(subject.model, self._test, subject.device)
        self._dense: DenseNetwork = dense_network(self._subject)
        self._mean = mean

    def measure(self, method: BitMethod, epochs: int, trials: int, stop: Callable[[], bool]) -> BitResult:
        """Lets `method` choose bits; the rest is the same for everyone.

        Raises:
            SearchError: If the bits break a rule of the task.
            InterruptedRunError: If `stop` said so.
        """
        task = BitTask(self._subject, self._mean, self._calibration, self._search, self._test, trials)
        assigned = method(task)
        policy, mean = policy_of_bits(task, assigned.bits)
        network = self._dense.finalist(policy)
        before = compare(self._answers(self._dense.quantized(network, policy)), self._reference)
        after = compare(self._answers(self._trained(policy, epochs, stop)), self._reference)
        return BitResult(
            mean_bits=mean,
            seconds=assigned.seconds,
            own=self._own(assigned),
            before=before.accuracy,
            divergence_before=before.divergence,
            after=after.accuracy,
            divergence_after=after.divergence,
            dense=compare(self._reference, self._reference).accuracy,
            images=after.images,
        )

    def _own(self, assigned: Assigned) -> float | None:
        if assigned.logits is None:
            return None
        return compare(Answers(assigned.logits, self._reference.labels), self._reference).accuracy

    def _answers(self, network: nn.Module) -> Answers:
        return answers(network, self._test, self._subject.device)

    def _trained(self, policy: CompressionPolicy, epochs: int, stop: Callable[[], bool]) -> nn.Module:
        """As a run trains at bit-widths, with the dense network as the teacher."""
        config = replace(self._subject.config, finetune_epochs=_FINETUNING_PER_EPOCH * epochs)
        subject = replace(self._subject, config=config)
        silent = Console(quiet=True)
        with TemporaryDirectory() as folder, Progress(silent) as progress:
            talk = Conversation(silent, progress, stop)
            run = create_run(Path(folder), "benchmark")
            return quantized(run, subject, self._dense, policy, self._dense.finalist(policy), talk)


def ours_assigned(task: BitTask) -> Assigned:
    """Our search, as `automl search` does it, over bits alone."""
    started = time.perf_counter()
    found = ours.compress(task.subject, task.trials, task.subject.config.seed)
    seconds = time.perf_counter() - started
    assert found.policy is not None
    return Assigned({name: widths.weight for name, widths in found.policy.bits.items()}, seconds)
