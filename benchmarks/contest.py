"""One method at one budget: compressed, measured, fine-tuned, measured again."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from automl.compress.batch_norm import recalibrate
from automl.core.errors import SearchError
from automl.evaluate.held import Batches
from automl.evaluate.measure import Answers, answers, compare
from automl.models.weights import weights_digest
from automl.pipeline.held import held
from automl.pipeline.subject import Subject
from automl.training.loop import train
from automl.training.recipe import finetune_recipe
from benchmarks.macs import count_macs
from benchmarks.method import Method, Task, macs_target
from benchmarks.nets import at_budget


@dataclass(frozen=True, slots=True)
class Result:
    """What one method reached, on the test images."""

    macs_share: float
    """Of the dense network's multiply-adds, by torch's counter."""
    search_seconds: float
    before: float
    """Accuracy before fine-tuning (agreement with the dense network, where there are no labels), in [0, 1]."""
    divergence_before: float
    """KL divergence from the dense network before fine-tuning, in nats."""
    after: float
    """Accuracy after fine-tuning, in [0, 1]."""
    divergence_after: float
    dense: float
    """The dense network's own accuracy, in [0, 1]."""
    images: int
    """Test images."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much every method may spend."""

    epochs: int
    """Of the fine-tuning."""
    trials: int
    """Policies that our search evaluates; peers decide for themselves."""


class Arena:
    """One network and one seed: what all methods share."""

    def __init__(self, subject: Subject) -> None:
        """Asks the dense network for its answers; `subject` is trained, under any budget."""
        self._subject = subject
        self._scratch = f"{weights_digest(subject.model)[:16]}-{subject.splits.digest[:16]}"
        self._calibration = held(subject, subject.splits.calibration)
        self._search = held(subject, subject.splits.search)
        self._test: Batches = held(subject, subject.splits.test)
        self._reference: Answers = answers(subject.model, self._test, subject.device)

    def measure(self, method: Method, share: float, effort: Effort, stop: Callable[[], bool]) -> Result:
        """Lets `method` compress to `share` of the MACs, and fine-tunes what comes out.

        Raises:
            SearchError: If the result has more MACs than that.
            InterruptedRunError: If `stop` said so.
        """
        subject = at_budget(self._subject, f"{share:g}flops")
        target = macs_target(subject, share)
        task = Task(subject, target, self._calibration, self._search, subject.config.seed, effort.trials, self._scratch)
        found = method(task)
        macs = count_macs(found.network, task.input_shape)
        if macs > target:
            raise SearchError(f"A result must have at most {target:,} MACs, but has {macs:,}.")
        recalibrate(found.network, (images for images, _ in self._calibration))
        before = compare(answers(found.network, self._test, subject.device), self._reference)
        finetune(self._subject, found.network, effort.epochs, stop)
        after = compare(answers(found.network, self._test, subject.device), self._reference)
        return Result(
            macs_share=macs / count_macs(subject.model, task.input_shape),
            search_seconds=found.search_seconds,
            before=before.accuracy,
            divergence_before=before.divergence,
            after=after.accuracy,
            divergence_after=after.divergence,
            dense=compare(self._reference, self._reference).accuracy,
            images=after.images,
        )


def finetune(subject: Subject, network: nn.Module, epochs: int, stop: Callable[[], bool]) -> None:
    """Trains `network` in place with the dense one as its teacher: the same for everyone who is compared.

    Raises:
        InterruptedRunError: If `stop` said so.
    """
    splits = subject.splits
    train(
        network,
        train_set=splits.train,
        selection_set=splits.selection,
        calibration_set=splits.calibration,
        recipe=finetune_recipe(len(splits.train), epochs=epochs, labelled=splits.labelled),
        seed=subject.config.seed,
        device=subject.device,
        teacher=subject.model,
        stop=stop,
    )
