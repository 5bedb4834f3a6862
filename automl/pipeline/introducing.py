"""What is said before a run begins."""

from datetime import UTC, datetime

from automl.core.budget import Metric
from automl.pipeline.baseline import describe_start
from automl.pipeline.conversation import Conversation
from automl.pipeline.coverage import coverage
from automl.pipeline.profiling import device_lines
from automl.pipeline.subject import Subject
from automl.report.console import show_coverage
from automl.report.quantity import percent, share
from search_spaces.rules import TIMED_MULTIPLE, default_rule


def introduce(subject: Subject, conversation: Conversation) -> None:
    """Says what was opened: weights, skipped images, coverage and the budget in absolute numbers."""
    splits = subject.splits
    conversation.say(describe_start(subject.network))
    if splits.skipped:
        conversation.say(f"{splits.skipped} corrupt image(s) were left out.")
    show_coverage(conversation.console, coverage(subject.traced.graph, subject.cost_model, subject.space))
    space = subject.space
    bits = sum(knob.kind != "channels" and len(knob.choices) > 1 for knob in space.knobs)
    said = f" and {bits} choices of bits ({subject.config.bits})" if bits else ""
    conversation.say(
        f"{len(subject.traced.graph.prunable)} channel groups{said}, about 10^{space.log10_size:.0f} policies."
    )
    if subject.latency is not None:
        for line in device_lines(subject.latency, datetime.now(UTC)):
            conversation.say(line)
    by_default = subject.config.channel_multiple is None and subject.time_counts
    if by_default and default_rule(subject.traced.graph, timed=True).multiple == TIMED_MULTIPLE:
        conversation.say(
            f"Widths are multiples of {TIMED_MULTIPLE}, because {subject.runtime.label} computes so many channels at a "
            "time (`--divisor` changes it)."
        )
    for limit in subject.budget.limits:
        dense, asked = limit.metric.of(subject.dense_cost), limit.asked(subject.dense_cost)
        if limit.metric is Metric.LATENCY:
            of_dense = f"{limit.metric.text(asked)} ({percent(asked / dense)})"
        else:
            of_dense = share(asked, dense, "B" if limit.metric is Metric.SIZE else "")
        aim = f" Policies leave {percent(limit.margin)} of it, for what is predicted." if limit.margin else ""
        conversation.say(f"Budget {limit.text}: at most {of_dense} of the dense {limit.metric.value}.{aim}")
    if subject.config.pareto is not None:
        levels = ", ".join(level.limits[0].text for level in subject.config.levels)
        conversation.say(f"Trials take turns at {levels}. The network of the first one is fine-tuned and exported.")
