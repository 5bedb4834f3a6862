"""From evaluated policies to the one that is fine-tuned: the best few are distilled for a while, the best goes on.

What recovers best is not always what trains best, and the best of many trials is partly luck: the candidates are
compared on images that the search has not seen, after a short training.
"""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

from automl.core.policy import CompressionPolicy
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.measure import answers, compare
from automl.pipeline.conversation import Conversation
from automl.pipeline.held import held
from automl.pipeline.searching import Found
from automl.pipeline.subject import Subject
from automl.store.files import write_json
from automl.store.run import Run
from automl.training.loop import train
from automl.training.recipe import Recipe, finetune_recipe

_CANDIDATES = 4
"""Policies that are distilled, the solver's plain answer among them."""
_SHARE = 1 / 15
"""Epochs of the short distillation, as a share of those of the fine-tuning; at least one."""
_LOG = logging.getLogger(__name__)


def promote(
    run: Run, subject: Subject, dense: DenseNetwork, found: Found, conversation: Conversation
) -> CompressionPolicy:
    """The policy to fine-tune.

    Candidates that an earlier session distilled are not distilled again.

    Raises:
        InterruptedRunError: If the user stopped.
    """
    policies = candidates(found)
    if len(policies) == 1:
        return policies[0]
    recipe = _recipe(subject)
    path = run.state / "promotion.json"
    facts = json.dumps([subject.fingerprint.weights, subject.fingerprint.data, asdict(recipe)])
    known = _read(path, facts)
    conversation.progress.phase("Promotion", len(policies), sum(policy.digest() in known for policy in policies))
    for policy in policies:
        if policy.digest() not in known:
            known[policy.digest()] = _worth(subject, dense, policy, recipe, conversation)
            write_json(path, {"facts": facts, "divergence": known})
            conversation.progress.advance(f"KL {known[policy.digest()]:.3f} on the selection split")
    return min(policies, key=lambda policy: known[policy.digest()])


def candidates(found: Found) -> list[CompressionPolicy]:
    """The best few by divergence and the solver's plain answer, each once, the best one first."""
    ranked = [each.policy for each in sorted(found.evaluations, key=lambda each: each.divergence)]
    distinct = list({policy.digest(): policy for policy in ranked}.values())
    chosen = distinct[:_CANDIDATES]
    if found.solved.digest() in {policy.digest() for policy in chosen} or len(found.evaluations) == 1:
        return chosen
    return [*chosen[: _CANDIDATES - 1], found.solved]


def _recipe(subject: Subject) -> Recipe:
    full = finetune_recipe(len(subject.splits.train), epochs=subject.config.finetune_epochs)
    return replace(full, epochs=0 if full.epochs == 0 else max(1, round(full.epochs * _SHARE)))


def _worth(
    subject: Subject, dense: DenseNetwork, policy: CompressionPolicy, recipe: Recipe, conversation: Conversation
) -> float:
    network = dense.finalist(policy)
    if recipe.epochs > 0:
        train(
            network,
            train_set=subject.splits.train,
            selection_set=subject.splits.selection,
            calibration_set=subject.splits.calibration,
            recipe=recipe,
            seed=subject.config.seed,
            device=subject.device,
            teacher=dense.model,
            stop=conversation.stop,
        )
    selection = held(subject, subject.splits.selection)
    measured = compare(answers(network, selection, dense.device), answers(dense.model, selection, dense.device))
    _LOG.info("Candidate %s: KL %.4f after %d epochs", policy.digest()[:12], measured.divergence, recipe.epochs)
    return measured.divergence


def _read(path: Path, facts: str) -> dict[str, float]:
    """Digest -> divergence, as far as it was measured under the same facts."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        same = values["facts"] == facts
        return {str(digest): float(value) for digest, value in values["divergence"].items()} if same else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
