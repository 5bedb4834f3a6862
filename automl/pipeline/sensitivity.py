"""The sensitivity table of a run: measured once, saved with the run, held against the trials in the end."""

from collections.abc import Sequence
from pathlib import Path

import torch
from scipy.stats import spearmanr

from automl.core.errors import InterruptedRunError
from automl.core.evaluation import Evaluation
from automl.core.knob import Knob, values_of
from automl.core.sensitivity import SensitivityTable
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.sensitivity import Probe, measured_table
from automl.pipeline.conversation import Conversation
from automl.pipeline.held import held
from automl.pipeline.subject import Subject
from automl.store.files import read_json, write_json
from automl.store.run import Run

_IMAGES = 128
"""Of the search split; the differences between widths are large."""
_LEAST_TRIALS = 4
"""Below that a rank correlation says nothing."""


def sensitivity_table(run: Run, subject: Subject, dense: DenseNetwork, conversation: Conversation) -> SensitivityTable:
    """The run's table, from its file where an earlier session measured it.

    Raises:
        InterruptedRunError: If the user stopped; a table is measured whole or not at all.
    """
    path = run.state / "sensitivity.json"
    facts = [
        subject.fingerprint.weights,
        subject.fingerprint.data,
        subject.fingerprint.space,
        subject.config.importance,
    ]
    saved = _read(path, facts, subject.space.knobs)
    if saved is not None:
        return saved
    table = measured_sensitivity(subject, dense, conversation)
    write_json(path, {"facts": facts, "table": table.to_json()})
    return table


def measured_sensitivity(subject: Subject, dense: DenseNetwork, conversation: Conversation) -> SensitivityTable:
    """The table of a network that no run keeps.

    Raises:
        InterruptedRunError: If the user stopped; a table is measured whole or not at all.
    """
    knobs = subject.space.knobs
    conversation.progress.phase("Sensitivity", len(knobs))

    def show(group: str) -> None:
        if conversation.stop():
            raise InterruptedRunError("The search was stopped while the sensitivity table was measured.")
        conversation.progress.advance(group)

    images = torch.cat([batch for batch, _ in held(subject, subject.splits.search)])[:_IMAGES]
    probe = Probe(dense, torch.split(images.to(subject.device), 64))
    return measured_table(dense, knobs, probe, show)


def rank_correlation(knobs: Sequence[Knob], table: SensitivityTable, evaluations: Sequence[Evaluation]) -> float | None:
    """Spearman's correlation of predicted and measured divergences; None for too few different policies."""
    by_policy = {each.policy.digest(): each for each in evaluations}.values()
    predicted = [table.loss(values_of(knobs, each.policy)) for each in by_policy]
    if len(set(predicted)) < _LEAST_TRIALS:
        return None
    return float(spearmanr(predicted, [each.divergence for each in by_policy]).statistic)


def _read(path: Path, facts: list[str], knobs: Sequence[Knob]) -> SensitivityTable | None:
    """The table of these facts and knobs; None where the file is absent, damaged or of others."""
    try:
        values = read_json(path)
        table = SensitivityTable.from_json(values["table"])
        rows = {(name, choices) for name, choices in zip(table.knobs, table.choices, strict=True)}
        same = values["facts"] == facts and rows == {(knob.name, knob.choices) for knob in knobs}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return table if same else None
