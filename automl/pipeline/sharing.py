"""Trainings of a run that other processes of a `torchrun` help with, where there are any."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from automl.pipeline.conversation import Conversation
from automl.pipeline.helpers import Job, sharing_processors, structure
from automl.pipeline.subject import Subject
from automl.training.portions import batch_images
from automl.training.team import Team


def open_helpers(subject: Subject, conversation: Conversation) -> None:
    """Has the other processes open what this one has opened, so that what they lack is known before anything is made.

    Raises:
        InputError: If one of them cannot, or finds something else there.
        InterruptedRunError: If the user stopped.
        LostProcessError: If `torchrun` does not answer.
    """
    helpers = conversation.helpers
    if helpers is None:
        return
    facts = {"data": subject.splits.digest, "network": structure(subject.model), "device": subject.device.type}
    helpers.open(subject.config, facts, conversation.stop)
    conversation.say(f"{helpers.size} processes train together; this one does the rest.")


@contextmanager
def sharing(subject: Subject, job: Job, student: nn.Module, conversation: Conversation) -> Iterator[Team | None]:
    """The processes that train along for as long as the body runs; None where this one trains alone.

    Args:
        subject: What they have opened as well.
        job: What is trained.
        student: The same, as a network.
        conversation: Has them.

    Raises:
        AutoMLError: If a process fails; `LostProcessError` if it does not say why.
        InterruptedRunError: If the user stopped while they got ready.
    """
    helpers = conversation.helpers
    if helpers is None or not helpers.ready:
        yield None
        return
    if batch_images(subject.splits.train, job.recipe) < helpers.size:
        conversation.say("There are fewer images in a batch than processes: this one trains alone.")
        yield None
        return
    facts = {"network": structure(student)}
    with sharing_processors(), helpers.joining(job, facts, subject.device, conversation.stop) as team:
        yield team
