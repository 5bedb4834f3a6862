"""A network that learns from the dense one, as part of a run: it can be stopped, and goes on from its last epoch."""

import hashlib
import json
from dataclasses import asdict
from typing import Literal

from torch import nn

from automl.compress.quantized import QuantizedNetwork
from automl.core.policy import CompressionPolicy
from automl.evaluate.dense import DenseNetwork
from automl.pipeline.conversation import Conversation
from automl.pipeline.epochs import curves_of, followed
from automl.pipeline.helpers import Job
from automl.pipeline.sharing import sharing
from automl.pipeline.subject import Subject
from automl.store.run import Run
from automl.training.loop import train
from automl.training.recipe import Recipe

Phase = Literal["Fine-tune", "Quantize"]


def distil(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    policy: CompressionPolicy,
    student: nn.Module,
    recipe: Recipe,
    phase: Phase,
    conversation: Conversation,
) -> None:
    """Trains `student` in place, with the processes that help; a recipe of 0 epochs leaves it as it is.

    Args:
        run: Keeps the checkpoint, and the curves where they were asked for.
        subject: Has the data and the seed.
        dense: The teacher.
        policy: What made the student; another policy's checkpoint is not gone on with.
        student: In float, or with its rounding in place.
        recipe: How.
        phase: What the epochs are called.
        conversation: Shows them.

    Raises:
        InterruptedRunError: If the user stopped; the training goes on from its last epoch.
    """
    if recipe.epochs == 0:
        return
    facts = [policy.digest(), subject.fingerprint.weights, subject.fingerprint.data, asdict(recipe)]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    splits = subject.splits
    job = Job(policy, isinstance(student, QuantizedNetwork), recipe, taught=True)
    with (
        sharing(subject, job, student, conversation) as team,
        followed(phase, recipe.epochs, curves_of(run, subject.config), conversation) as on_epoch,
    ):
        train(
            student,
            train_set=splits.train,
            selection_set=splits.selection,
            calibration_set=splits.calibration,
            recipe=recipe,
            seed=subject.config.seed,
            device=subject.device,
            teacher=dense.model,
            checkpoint=run.state / f"{phase.lower().replace('-', '')}-{key[:16]}.checkpoint",
            on_epoch=on_epoch,
            stop=conversation.stop,
            fingerprint=key,
            team=team,
        )
