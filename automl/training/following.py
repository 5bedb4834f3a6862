"""What a process does that helps another one to train."""

import torch
from torch import nn

from automl.training.borrowing import borrowed
from automl.training.lockstep import Lockstep
from automl.training.portions import LabelledImages, batch_images, portions, seed_epoch
from automl.training.recipe import Recipe
from automl.training.team import Team


def follow(
    student: nn.Module,
    *,
    teacher: nn.Module | None,
    train_set: LabelledImages,
    recipe: Recipe,
    seed: int,
    team: Team,
) -> None:
    """Computes this process's part of each gradient until the leader, which calls `train`, ends the training.

    Args:
        student: Of the leader's structure; its weights and buffers become the leader's. Moved to the team's device.
        teacher: The same of the teacher; None where the leader has none.
        train_set: The leader's images, in the same order.
        recipe: The leader's.
        seed: The leader's.
        team: The processes; this one is not the leader.

    Raises:
        DataError: If an image has neither a label nor a teacher.
        LostProcessError: If another process has ended.
    """
    with borrowed([student] if teacher is None else [student, teacher], team.device):
        student.train()
        if teacher is not None:
            teacher.eval()
        lockstep = Lockstep(team, student, recipe, batch_images(train_set, recipe))
        for epoch in range(lockstep.meet(teacher), recipe.epochs):
            seed_epoch(seed, epoch, team.rank)
            for images, labels in portions(train_set, recipe, seed, epoch, team):
                images = images.to(team.device, memory_format=torch.channels_last)
                with torch.no_grad():
                    teacher_logits = None if teacher is None else teacher(images)
                if not lockstep.begin():
                    return
                student.zero_grad()
                lockstep.gradient(images, labels.to(team.device), teacher_logits)
        lockstep.begin()  # the leader measures the last epoch before it ends the training
