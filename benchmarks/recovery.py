"""What a pruned network is worth before fine-tuning, by how its weights were recovered, and what that foretells.

Every arm gets the uniform policy at each budget, so that recovery alone makes the difference. Then random policies at
a quarter of the MACs: do their scores before fine-tuning rank them as their accuracies after it do?
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product

import numpy as np

from automl.cli.session import conversation
from automl.core.policy import CompressionPolicy
from automl.evaluate.measure import Measurement, answers, compare
from automl.pipeline.conversation import Conversation
from automl.pipeline.held import held
from automl.pipeline.subject import Subject
from benchmarks.arms import ARMS, FINALIST, L1_RECALIBRATED, OURS, Workshop, random, uniform
from benchmarks.cache import CACHE, ResultCache
from benchmarks.contest import finetune
from benchmarks.interval import mean95, paired95, rank_correlation95
from benchmarks.nets import BY_DEFAULT, Net, at_budget, chosen_nets, nets_option, open_net, remarks, why_not
from benchmarks.options import parser, shared, shares
from benchmarks.outcome import run_and_exit
from benchmarks.report import Details, Report, Row, percent, points, publish, spread

BUDGETS = (0.7, 0.5, 0.25, 0.125)
PROMISED = (0.5, 0.25)
"""Where ours must be ahead by more than the interval."""
_RANKED_AT = 0.25

Measured = Mapping[tuple[float, str], Sequence[Measurement]]
"""(share of the MACs, arm) -> one measurement per seed, on the test images."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How many random policies are ranked, and by how much training."""

    policies: int
    epochs: int
    fresh: bool
    """Whether to fine-tune again what is on disk."""


def measured(subjects: Sequence[Subject], budgets: Sequence[float], talk: Conversation) -> Measured:
    """Every arm at every budget, for each subject (a network with one seed's splits)."""
    found: dict[tuple[float, str], list[Measurement]] = {}
    for subject in subjects:
        workshop = Workshop(subject, ARMS)
        test = held(subject, subject.splits.test)
        reference = answers(subject.model, test, subject.device)
        for budget in budgets:
            policy = uniform(at_budget(subject, f"{budget:g}flops"))
            for arm in ARMS:
                given = answers(workshop.network(arm, policy), test, subject.device)
                found.setdefault((budget, arm.name), []).append(compare(given, reference))
        talk.say(f"{subject.config.model} seed {subject.config.seed}: measured")
    return found


def rows(net: Net, found: Measured) -> tuple[Row, ...]:
    """Ours, as in trials and as finalists get it, against L1 with recalibrated batch norm.

    Where there are no labels, by divergence as well.
    """
    made = []
    for budget, arm in product(dict.fromkeys(budget for budget, _ in found), (OURS, FINALIST)):
        ours, theirs = found[budget, arm.name], found[budget, L1_RECALIBRATED.name]
        where = f"{net.name}, {percent(budget)}, {arm.name}"
        made.append(_by_accuracy(where, budget in PROMISED, ours, theirs))
        if net.imagenet:
            made.append(_by_divergence(f"{where}, KL", budget in PROMISED, ours, theirs))
    return tuple(made)


def _by_accuracy(what: str, promised: bool, ours: Sequence[Measurement], theirs: Sequence[Measurement]) -> Row:
    mine, other = [each.accuracy for each in ours], [each.accuracy for each in theirs]
    difference = paired95(mine, other)
    target = "> 0 by more than the interval" if promised else ""
    held_ = difference.ci95[0] > 0 if promised and difference.ci95 is not None else None
    return points(what, mine, L1_RECALIBRATED.name, other, difference, target, held_)


def _by_divergence(what: str, promised: bool, ours: Sequence[Measurement], theirs: Sequence[Measurement]) -> Row:
    mine, other = [each.divergence for each in ours], [each.divergence for each in theirs]
    difference = paired95(mine, other)
    return Row(
        what=what,
        measured=float(np.mean(mine)),
        baseline=f"{L1_RECALIBRATED.name} {np.mean(other):.3f}",
        compared=difference.value,
        kind="difference",
        ci95=difference.ci95,
        target="< 0 by more than the interval" if promised else "",
        held=difference.ci95[1] < 0 if promised and difference.ci95 is not None else None,
    )


def table(net: str, found: Measured) -> Details:
    """Mean accuracy with its interval over seeds, and mean KL, of every arm."""
    lines = []
    for budget in dict.fromkeys(budget for budget, _ in found):
        for arm in ARMS:
            each = found[budget, arm.name]
            accuracy = mean95([one.accuracy for one in each])
            kl = mean95([one.divergence for one in each]).value
            lines.append((f"{percent(budget)} {arm.name}", percent(accuracy.value), spread(accuracy), f"{kl:.3f}"))
    return Details(f"{net}: before fine-tuning", ("MACs, arm", "accuracy", "95%, seeds", "KL"), tuple(lines))


def ranked(net: Net, subject: Subject, ranking: Ranking, talk: Conversation) -> Details:
    """How each arm's score on the search images foretells the accuracy after a short fine-tuning.

    The networks that are fine-tuned are ours: what a policy is worth in the end is a fact of the policy.
    """
    narrow = at_budget(subject, f"{_RANKED_AT:g}flops")
    generator = np.random.default_rng(subject.config.seed)
    policies = [random(narrow, generator) for _ in range(ranking.policies)]
    workshop = Workshop(narrow, ARMS)
    cache = ResultCache(CACHE / "recovery")
    after = []
    for number, policy in enumerate(policies):
        facts = {"net": asdict(net), "seed": subject.config.seed, "epochs": ranking.epochs}
        facts |= {"policy": policy.to_json(), "size": narrow.splits.input_shape[-1]}
        result = cache.get(facts, partial(_finetuned, narrow, workshop, policy, ranking, talk), fresh=ranking.fresh)
        after.append(float(result["accuracy"]))
        talk.say(f"{net.name}, random policy {number + 1}/{len(policies)}: {percent(after[-1])} fine-tuned")
    search = held(narrow, narrow.splits.search)
    reference = answers(narrow.model, search, narrow.device)
    lines = []
    for arm in ARMS:
        scored = [compare(answers(workshop.network(arm, each), search, narrow.device), reference) for each in policies]
        by_divergence = rank_correlation95([-each.divergence for each in scored], after)
        by_accuracy = rank_correlation95([each.accuracy for each in scored], after)
        lines.append((arm.name, *(_correlation(each.value, each.ci95) for each in (by_divergence, by_accuracy))))
    title = (
        f"{net.name}: Spearman's correlation with accuracy after {ranking.epochs} epoch(s), {len(policies)} policies"
    )
    return Details(title, ("arm", "-KL before", "accuracy before"), tuple(lines))


def _finetuned(
    subject: Subject, workshop: Workshop, policy: CompressionPolicy, ranking: Ranking, talk: Conversation
) -> dict[str, float]:
    network = workshop.network(OURS, policy, own_memory=True)
    finetune(subject, network, ranking.epochs, talk.stop)
    test = held(subject, subject.splits.test)
    reference = answers(subject.model, test, subject.device)
    return {"accuracy": compare(answers(network, test, subject.device), reference).accuracy}


def _correlation(value: float, ci95: tuple[float, float] | None) -> str:
    return f"{value:+.2f}" if ci95 is None else f"{value:+.2f} ({ci95[0]:+.2f} to {ci95[1]:+.2f})"


def _arguments() -> argparse.Namespace:
    made = parser("Accuracy before fine-tuning, by how the weights were recovered.", seeds=5)
    nets_option(made, BY_DEFAULT)
    made.add_argument("--budgets", metavar="0.5,0.25", type=shares, default=BUDGETS, help="shares of the MACs")
    made.add_argument("--policies", type=int, help="random policies to rank; 0 for none (default: 12; --quick: 5)")
    made.add_argument("--epochs", type=int, help="of their fine-tuning (default: 3; --quick: 1)")
    made.add_argument("--fresh", action="store_true", help="fine-tune again what is on disk")
    return made.parse_args()


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    options = shared(arguments)
    policies = arguments.policies if arguments.policies is not None else (5 if options.quick else 12)
    ranking = Ranking(policies, arguments.epochs or (1 if options.quick else 3), arguments.fresh)
    made_rows: list[Row] = []
    details: list[Details] = []
    notes: list[str] = []
    with conversation() as talk:
        for net in chosen_nets(arguments):
            notes.extend(remarks(net))
            if why_not(net) is not None:
                continue
            subjects = [open_net(net, seed, talk) for seed in options.seeds]
            found = measured(subjects, arguments.budgets, talk)
            made_rows.extend(rows(net, found))
            details.append(table(net.name, found))
            if policies > 2 and subjects[0].splits.labelled:
                details.append(ranked(net, subjects[0], ranking, talk))
    return publish(Report("benchmarks.recovery", tuple(made_rows), tuple(details), tuple(notes)), options)


if __name__ == "__main__":
    run_and_exit(main)
