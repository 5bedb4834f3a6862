"""After the search: fine-tune, export, verify, measure once on the test set, report."""

import logging
from dataclasses import replace

from torch import nn

from automl.core.budget import Metric
from automl.core.errors import NoFeasiblePolicyError
from automl.core.policy import CompressionPolicy, checked_policy
from automl.evaluate.dense import DenseNetwork
from automl.pipeline.clocking import clock
from automl.pipeline.conversation import Conversation
from automl.pipeline.detailing import details
from automl.pipeline.distilling import distil
from automl.pipeline.exporting import export_network
from automl.pipeline.held import held
from automl.pipeline.quantizing import quantized
from automl.pipeline.reporting import render_run
from automl.pipeline.results import Outcome, Result, final_outcome
from automl.pipeline.searching import Found
from automl.pipeline.sensitivity import sensitivity_table
from automl.pipeline.settling import timed_candidates
from automl.pipeline.subject import Subject
from automl.pipeline.tightening import tighten, tightened
from automl.report.details import write_details
from automl.report.metrics import Metrics, write_metrics
from automl.store.answers import write_answers
from automl.store.run import Run
from automl.training.recipe import finetune_recipe

_ATTEMPTS = 3
"""Policies that are trained at most, where exported files are too slow."""
_LOG = logging.getLogger(__name__)


def finish(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    conversation: Conversation,
) -> Metrics:
    """Fine-tunes `best`, and makes the result in `run.best` and the report.

    Where the exported file is slower than was asked, a smaller policy is trained and exported in its place.

    Raises:
        InterruptedRunError: If the user stopped the fine-tuning; it goes on from its last epoch.
        ExportError: If the exported file does not compute what the network computes.
        NoFeasiblePolicyError: If the exported file breaks a budget; the files are there all the same.
    """
    tight = checked_policy(subject.traced.graph, tightened(run, best))
    found, best = _in_its_place(found, best, tight)
    outcome = _made(run, subject, dense, found, best, conversation)
    for _ in range(_ATTEMPTS - 1):
        smaller = _smaller(run, subject, best, outcome.metrics, conversation)
        if smaller is None:
            break
        found, best = _in_its_place(found, best, smaller)
        outcome = _made(run, subject, dense, found, best, conversation)
    metrics = outcome.metrics
    table = sensitivity_table(run, subject, dense, conversation)
    told = details(subject, table, best, timed_candidates(run), metrics, outcome.answers)
    write_details(run.details, told)
    _LOG.info("wrote %s", render_run(run))
    broken = [line for line in metrics.budgets if not line.met]
    if broken:
        line, text = broken[0], Metric(broken[0].metric).text
        why = "what predictions miss" if line.metric == Metric.LATENCY.value else "the file's structure"
        raise NoFeasiblePolicyError(
            f"Every budget must hold on the exported file, but {line.metric} is {text(line.measured or 0)} there and "
            f"{text(line.asked)} are allowed. Ask for a smaller {line.metric} budget, which leaves room for {why}."
        )
    return metrics


def finetuned(
    run: Run, subject: Subject, dense: DenseNetwork, policy: CompressionPolicy, conversation: Conversation
) -> nn.Module:
    """The network of `policy`, fine-tuned with the dense one as its teacher, unless the run asked for 0 epochs."""
    student = dense.finalist(policy)
    splits = subject.splits
    recipe = finetune_recipe(len(splits.train), epochs=subject.config.finetune_epochs, labelled=splits.labelled)
    distil(run, subject, dense, policy, student, recipe, "Fine-tune", conversation)
    return student.eval()


def _made(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    conversation: Conversation,
) -> Outcome:
    """Trains the network of `best`, exports it and measures it."""
    network = finetuned(run, subject, dense, best, conversation)
    rounded = quantized(run, subject, dense, best, network, conversation) if best.bits else None
    return _written(run, subject, dense, found, best, Result(network, rounded), conversation)


def _smaller(
    run: Run, subject: Subject, best: CompressionPolicy, metrics: Metrics, conversation: Conversation
) -> CompressionPolicy | None:
    """What to train in place of `best` where its file is too slow, and only that; None where nothing is to be done."""
    broken = [line for line in metrics.budgets if not line.met]
    slow = [line for line in broken if line.metric == Metric.LATENCY.value and line.measured is not None]
    if not slow or len(slow) < len(broken):
        return None
    asked, measured_ms = min(line.asked for line in slow), slow[0].measured or 0.0
    smaller = tighten(run, subject, best, measured_ms)
    if smaller is not None:
        text = Metric.LATENCY.text
        conversation.say(
            f"The exported file takes {text(measured_ms)}, and {text(asked)} are allowed: a smaller policy is trained."
        )
    return smaller


def _in_its_place(
    found: Found, policy: CompressionPolicy, smaller: CompressionPolicy
) -> tuple[Found, CompressionPolicy]:
    """The smaller policy; the solver's answer is still the solver's."""
    solved = smaller if policy.digest() == found.solved.digest() else found.solved
    return replace(found, solved=solved), smaller


def _written(
    run: Run,
    subject: Subject,
    dense: DenseNetwork,
    found: Found,
    best: CompressionPolicy,
    result: Result,
    conversation: Conversation,
) -> Outcome:
    conversation.progress.phase("Export", 2)
    test = held(subject, subject.splits.test)
    exported = export_network(run.best, subject, best, result.final, test)
    conversation.progress.advance(f"ONNX Runtime {exported.agreement}")
    timed = clock(subject, best, run.onnx) if subject.clocked else None
    outcome = final_outcome(subject, dense, found, best, result, exported, timed, test)
    write_answers(run.answers, outcome.answers)
    write_metrics(run.metrics, outcome.metrics)
    conversation.progress.advance("measured on the test set")
    return outcome
