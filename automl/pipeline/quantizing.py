"""The fine-tuned network at the policy's bit-widths: rounded, then trained with the rounding in place."""

from torch import nn

from automl.compress.biases import round_biases
from automl.compress.operators import in_words
from automl.compress.quantized import QuantizedNetwork
from automl.compress.statistics import named
from automl.core.policy import CompressionPolicy
from automl.evaluate.dense import DenseNetwork
from automl.pipeline.conversation import Conversation
from automl.pipeline.distilling import distil
from automl.pipeline.subject import Subject
from automl.store.run import Run
from automl.training.recipe import finetune_recipe, quantization_recipe


def quantized(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    policy: CompressionPolicy,
    network: nn.Module,
    conversation: Conversation,
) -> QuantizedNetwork:
    """Rounds the fine-tuned network and trains it on, with the dense one as its teacher; it ends on its grids.

    Args:
        run: Keeps the checkpoint.
        subject: Its data and configuration; with 0 epochs of fine-tuning nothing is trained.
        dense: The teacher.
        policy: Has bit-widths.
        network: The policy's float network; it is not changed.
        conversation: Shows the epochs.

    Raises:
        InterruptedRunError: If the user stopped; the training goes on from its last epoch.
    """
    student = dense.quantized(network, policy)
    if student.silent:
        where = named([in_words(key) for key in student.silent])
        conversation.say(f"Zero on all calibration images, and so at every bit-width: {where}.")
    splits = subject.splits
    finetuning = finetune_recipe(len(splits.train), epochs=subject.config.finetune_epochs, labelled=splits.labelled)
    student.rounds_weights = True
    distil(run, subject, dense, policy, student, quantization_recipe(finetuning), "Quantize", conversation)
    student.bake()
    round_biases(student, dense.places.reads)
    return student
