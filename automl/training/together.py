"""Several networks learn from one teacher on the same batches: it answers once for all, and the comparison is fair."""

from collections.abc import Callable, Sequence
from itertools import islice

import torch
from torch import nn

from automl.core.errors import InterruptedRunError
from automl.data.splits import batches
from automl.training.borrowing import borrowed
from automl.training.learner import Learner
from automl.training.portions import LabelledImages
from automl.training.recipe import Recipe


def distil_together(
    networks: Sequence[nn.Module],
    teacher: nn.Module,
    train_set: LabelledImages,
    *,
    recipe: Recipe,
    steps: int,
    seed: int,
    device: torch.device,
    stop: Callable[[], bool],
) -> None:
    """Trains each network in place on the first batches of one pass, at most; batch norms stay as the steps left them.

    Args:
        networks: Moved to `device`; train and eval flags are as before afterwards.
        teacher: Moved to `device`, run in eval mode, never changed.
        train_set: At least two images.
        recipe: How, all but the epochs.
        steps: Batches.
        seed: Of the order of the images and of whatever draws from torch's generator, such as augmentation.
        device: Where to compute.
        stop: Asked before each step whether the user wants to stop.

    Raises:
        AutoMLError: If a loss or its gradient is not finite.
        InterruptedRunError: If `stop` said so.
    """
    with borrowed([*networks, teacher], device):
        torch.manual_seed(seed)
        teacher.eval()
        whole = len(batches(train_set, recipe.batch_size))
        loader = batches(train_set, recipe.batch_size, shuffle_seed=seed, drop_last=whole > 1)
        steps = min(steps, len(loader))
        learners = [Learner(network.train(), recipe, steps) for network in networks]
        for images, labels in islice(loader, steps):
            if stop():
                raise InterruptedRunError("The short distillation was stopped; candidates that were measured are kept.")
            inputs, targets = images.to(device, memory_format=torch.channels_last), labels.to(device)
            with torch.no_grad():
                answers = teacher(inputs)
            for learner in learners:
                learner.learn(inputs, targets, answers)
        for learner in learners:
            learner.optimizer.zero_grad()
