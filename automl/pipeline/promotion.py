"""From evaluated policies to the one that is fine-tuned: the best few are distilled for a while, the best goes on.

What recovers best is not always what trains best, and the best of many trials is partly luck: the candidates are
compared on images that the search has not seen, after a short training.
"""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from automl.compress.batch_norm import recalibrate
from automl.core.policy import CompressionPolicy
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.measure import answers, compare
from automl.pipeline.conversation import Conversation
from automl.pipeline.held import held
from automl.pipeline.searching import Found
from automl.pipeline.subject import Subject
from automl.store.files import read_json, write_json
from automl.store.run import Run
from automl.training.recipe import finetune_recipe
from automl.training.together import distil_together

_CANDIDATES = 3
"""Policies that are distilled, the solver's plain answer among them."""
_SHARE = 1 / 200
"""Batches of the short distillation, as a share of those of the fine-tuning."""
_LOG = logging.getLogger(__name__)


def promote(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    policies: Sequence[CompressionPolicy],
    conversation: Conversation,
) -> CompressionPolicy:
    """The policy to fine-tune among some candidates, of which the first one is the favourite.

    Where an earlier session compared the same candidates, its word is taken.

    Raises:
        InterruptedRunError: If the user stopped.
    """
    if len(policies) == 1:
        return policies[0]
    path = run.state / "promotion.json"
    facts = json.dumps([subject.fingerprint.weights, subject.fingerprint.data, _steps(subject)])
    digests = sorted(policy.digest() for policy in policies)
    conversation.progress.phase("Promotion", len(policies))
    known = _read(path, facts, digests)
    if known is None:
        measured = _worths(subject, dense, policies, conversation)
        known = dict(zip((policy.digest() for policy in policies), measured, strict=True))
        write_json(path, {"facts": facts, "divergence": known})
    return min(policies, key=lambda policy: known[policy.digest()])


def candidates(found: Found) -> list[CompressionPolicy]:
    """The best few by divergence and the solver's plain answer, each once, the best one first."""
    ranked = [each.policy for each in sorted(found.evaluations, key=lambda each: each.divergence)]
    distinct = list({policy.digest(): policy for policy in ranked}.values())
    chosen = distinct[:_CANDIDATES]
    if found.solved.digest() in {policy.digest() for policy in chosen} or len(found.evaluations) == 1:
        return chosen
    return [*chosen[: _CANDIDATES - 1], found.solved]


def _steps(subject: Subject) -> int:
    """Batches of the short distillation."""
    images = len(subject.splits.train)
    recipe = finetune_recipe(images, epochs=subject.config.finetune_epochs)
    return math.ceil(_SHARE * recipe.epochs * images / recipe.batch_size)


def _worths(
    subject: Subject, dense: DenseNetwork, policies: Sequence[CompressionPolicy], conversation: Conversation
) -> list[float]:
    """Divergence of each policy's network on the selection split, after the short distillation."""
    networks = [dense.finalist(policy) for policy in policies]
    distil_together(
        networks,
        dense.model,
        subject.splits.train,
        recipe=finetune_recipe(len(subject.splits.train), labelled=subject.splits.labelled),
        steps=_steps(subject),
        seed=subject.config.seed,
        device=subject.device,
        stop=conversation.stop,
    )
    calibration = held(subject, subject.splits.calibration)
    selection = held(subject, subject.splits.selection)
    reference = answers(dense.model, selection, dense.device)
    found = []
    for policy, network in zip(policies, networks, strict=True):
        recalibrate(network, (images for images, _ in calibration))
        final = dense.quantized(network, policy) if policy.bits else network
        found.append(compare(answers(final, selection, dense.device), reference).divergence)
        conversation.progress.advance(f"KL {found[-1]:.3f} on the selection split")
        _LOG.info("Candidate %s: KL %.4f after %d steps", policy.digest()[:12], found[-1], _steps(subject))
    return found


def _read(path: Path, facts: str, digests: Sequence[str]) -> dict[str, float] | None:
    """Digest -> divergence, where just these policies were measured under the same facts."""
    try:
        values = read_json(path)
        found = {str(digest): float(value) for digest, value in values["divergence"].items()}
        return found if values["facts"] == facts and sorted(found) == list(digests) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
