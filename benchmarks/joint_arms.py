"""Ways to spend one number of evaluations on widths and bits, and what their policies are worth after training."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from torch import nn

from automl.core.bits import BitWidths, mean_bits
from automl.core.errors import BudgetError, InterruptedRunError
from automl.core.evaluation import Evaluation, Evaluator
from automl.core.knob import Knob, policy_of, values_of
from automl.core.policy import CompressionPolicy, checked_policy, dense_policy
from automl.core.sensitivity import SensitivityTable
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.evaluator import ModelEvaluator
from automl.evaluate.held import Batches
from automl.evaluate.measure import Answers, answers, compare
from automl.pipeline.conversation import Conversation
from automl.pipeline.dense import dense_network
from automl.pipeline.finishing import finetuned
from automl.pipeline.held import held
from automl.pipeline.quantizing import quantized
from automl.pipeline.searching import pose
from automl.pipeline.sensitivity import measured_sensitivity
from automl.pipeline.subject import Subject
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.search.solver import Solver
from automl.store.run import create_run
from benchmarks.nets import at_budget
from search_spaces.space import SearchSpace

Keep = Callable[[Mapping[str, Any], Callable[[], Mapping[str, Any]]], dict[str, Any]]
"""Facts of one piece of work, and how to do it -> its result, from disk where it is there."""
BITS = "4,8"
"""What layers may have, for weights and for activations; the first and the last one have 8."""
JOINT = "joint"
STEPWISE = "prune, then quantize"
BITS_ONLY = "bits only"
INT8 = "dense int8"
ARMS = (JOINT, STEPWISE, BITS_ONLY)
_ENGINE = "solver"
_INT8_BITS = 8


@dataclass(frozen=True, slots=True)
class Effort:
    """What every arm may spend."""

    trials: int
    """Evaluations of the search, in one step or in two."""
    epochs: int
    """Of the fine-tuning in float; a quarter of them, rounded up, follow at bit-widths."""
    fills: tuple[float, ...]
    """Shares of the budget that a network which is pruned first may take at its fewest bits; the rest goes to more
    bits. The sensitivity table says which."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an arm came to at one budget with one seed; all of it simulated."""

    bops: float
    """Share of the dense float network's bit operations."""
    macs: float
    """Share of its multiply-adds."""
    weight_bits: float
    """Mean over the weights."""
    divergence: float
    """On the search split, before training, in nats: what was searched for."""
    before: float
    """Accuracy on the test images without training: finalist and GPTQ. In [0, 1]."""
    after: float
    """Accuracy on the test images after both trainings."""
    chance: float
    """Accuracy of guessing."""
    search_seconds: float
    """Without the table, which all arms share."""
    train_seconds: float


class Bench:
    """One network and one seed; what all arms share is made when the first of them needs it."""

    def __init__(self, opened: Callable[[], Subject], effort: Effort, keep: Keep, talk: Conversation) -> None:
        """Opens nothing yet: where all results are on disk, nothing has to be."""
        self._opened, self._effort, self._keep, self._talk = opened, effort, keep, talk

    def measured(self, arm: str, budget: float) -> dict[str, Any]:
        """The result as JSON values; `cannot` alone, with the reason, where the arm cannot meet the budget.

        Raises:
            InterruptedRunError: If the user stopped.
        """
        try:
            policy, seconds = self._searched(arm, budget)
        except BudgetError as error:
            return {"cannot": str(error)}
        facts = {"what": "training", "policy": policy.to_json(), "epochs": self._effort.epochs}
        return {**self._keep(facts, partial(self._trained, policy)), "search_seconds": seconds}

    @cached_property
    def subject(self) -> Subject:
        """The trained network with widths and bits to choose."""
        subject = self._opened()
        return replace(subject, config=replace(subject.config, finetune_epochs=self._effort.epochs))

    @cached_property
    def _dense(self) -> DenseNetwork:
        return dense_network(self.subject)

    @cached_property
    def _table(self) -> SensitivityTable:
        return SensitivityTable.from_json(self._keep({"what": "table"}, self._measured_table))

    def _measured_table(self) -> dict[str, Any]:
        return measured_sensitivity(self.subject, self._dense, self._talk).to_json()

    @cached_property
    def _search_images(self) -> Batches:
        return list(held(self.subject, self.subject.splits.search))

    @cached_property
    def _test(self) -> tuple[Batches, Answers]:
        images = list(held(self.subject, self.subject.splits.test))
        return images, answers(self._dense.model, images, self._dense.device)

    def _searched(self, arm: str, budget: float) -> tuple[CompressionPolicy, float]:
        """The arm's policy and the seconds of its search."""
        knobs = self.subject.space.knobs
        if arm == INT8:
            return int8(self.subject), 0.0
        if arm == STEPWISE:
            return self._pruned_then_quantized(budget)
        chosen = knobs if arm == JOINT else with_widths(knobs, dense_policy(self.subject.traced.graph))
        return self._best(chosen, budget, self._effort.trials)

    def _pruned_then_quantized(self, budget: float) -> tuple[CompressionPolicy, float]:
        """Half of the evaluations prune the float network, the others give bits to what is left.

        Where the whole network leaves enough of the budget at its fewest bits, all of them go to the bits.
        """
        knobs, trials, seconds = self.subject.space.knobs, self._effort.trials, 0.0
        widths, pruned = dense_policy(self.subject.traced.graph), self._fill(budget) * budget
        if self._least(with_widths(knobs, widths)) > pruned:
            widths, seconds = self._best(with_fewest_bits(knobs), pruned, trials // 2, in_float=True)
            trials -= trials // 2
        policy, more = self._best(with_widths(knobs, widths), budget, trials)
        return policy, seconds + more

    def _fill(self, budget: float) -> float:
        """The fill whose two steps lose least by the table, which costs no evaluation."""
        return min(self._effort.fills, key=lambda fill: self._expected(fill, budget))

    def _expected(self, fill: float, budget: float) -> float:
        """Loss of the solver's plain answers to both steps, by the table; infinite where there is none."""
        knobs = self.subject.space.knobs
        try:
            pruned = self._solved(with_fewest_bits(knobs), fill * budget)
            policy = self._solved(with_widths(knobs, pruned), budget)
        except BudgetError:
            return math.inf
        return self._table.loss(values_of(knobs, policy))

    def _solved(self, knobs: Sequence[Knob], budget: float) -> CompressionPolicy:
        subject = self._under(knobs, budget)
        solver = Solver(knobs, rows_of(self._table, knobs), subject.cost_model, subject.budget, subject.dense_cost)
        return policy_of(knobs, solver.solve(np.zeros(len(knobs))).tolist())

    def _under(self, knobs: Sequence[Knob], budget: float) -> Subject:
        space = SearchSpace(tuple(knobs), self.subject.traced.graph)
        return at_budget(replace(self.subject, space=space), f"{budget:.6g}bops")

    def _least(self, knobs: Sequence[Knob]) -> float:
        """Share of the BOPs of the policy with the first choice of each knob."""
        smallest = policy_of(knobs, [knob.choices[0] for knob in knobs])
        return self._bops(smallest)

    def _bops(self, policy: CompressionPolicy) -> float:
        cost = self.subject.cost_model(checked_policy(self.subject.traced.graph, policy))
        return cost.bops / self.subject.dense_cost.bops

    def _best(
        self, knobs: Sequence[Knob], budget: float, trials: int, *, in_float: bool = False
    ) -> tuple[CompressionPolicy, float]:
        """What the search of these knobs finds, and its seconds; `in_float` networks are judged without their bits."""
        facts = {"what": "search", "knobs": [asdict(knob) for knob in knobs], "budget": budget, "trials": trials}
        values = self._keep(facts | {"in_float": in_float}, partial(self._found, knobs, budget, trials, in_float))
        bits = {name: BitWidths(**widths) for name, widths in values["bits"].items()}
        return CompressionPolicy(values["channels"], bits), values["seconds"]

    def _found(self, knobs: Sequence[Knob], budget: float, trials: int, in_float: bool) -> dict[str, Any]:
        subject = self._under(knobs, budget)
        table = rows_of(self._table, knobs)
        judge = ModelEvaluator(self._dense, subject.cost_model, self._search_images)
        started = time.perf_counter()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        found = search(
            pose(subject, table, partial(_without_bits, judge) if in_float else judge),
            optuna.create_study(),
            find_engine(_ENGINE),
            trials=trials,
            seed=subject.config.seed,
            deadline=None,
            stop=self._talk.stop,
            on_trial=lambda report: None,
        )
        if self._talk.stop():
            raise InterruptedRunError("The search was stopped; what is on disk stays.")
        return {**found.policy.to_json(), "seconds": time.perf_counter() - started}

    def _trained(self, policy: CompressionPolicy) -> dict[str, Any]:
        """Fine-tunes in float, rounds and trains on as the pipeline does, and measures on the test images."""
        subject, dense = self.subject, self._dense
        before = self._accuracy(dense.quantized(dense.finalist(policy), policy))
        started = time.perf_counter()
        with TemporaryDirectory() as folder:
            run = create_run(Path(folder), "benchmark")
            network = finetuned(run, subject, dense, policy, self._talk)
            final = quantized(run, subject, dense, policy, network, self._talk)
        train_seconds = time.perf_counter() - started
        judge = ModelEvaluator(dense, subject.cost_model, self._search_images)
        return {
            "bops": self._bops(policy),
            "macs": subject.cost_model(policy).macs / subject.dense_cost.macs,
            "weight_bits": mean_bits(policy.bits, _weights(subject, policy)),
            "divergence": judge(policy).divergence,
            "before": before,
            "after": self._accuracy(final),
            "chance": 1 / subject.network.classes,
            "train_seconds": train_seconds,
        }

    def _accuracy(self, network: nn.Module) -> float:
        images, reference = self._test
        return compare(answers(network, images, self._dense.device), reference).accuracy


def int8(subject: Subject) -> CompressionPolicy:
    """The policy that removes nothing and gives every layer 8 bits."""
    layers = [knob.target for knob in subject.space.knobs if knob.kind == "weight_bits"]
    whole = dense_policy(subject.traced.graph)
    return CompressionPolicy(whole.channels, dict.fromkeys(layers, BitWidths(_INT8_BITS, _INT8_BITS)))


def with_widths(knobs: Sequence[Knob], policy: CompressionPolicy) -> tuple[Knob, ...]:
    """The knobs with the widths of `policy` as their only choice.

    A group that went with a branch keeps its narrowest choice: its branch says that it is gone.
    """
    return tuple(
        replace(knob, choices=_only(knob, policy.channels[knob.target])) if knob.kind == "channels" else knob
        for knob in knobs
    )


def with_fewest_bits(knobs: Sequence[Knob]) -> tuple[Knob, ...]:
    """The knobs with the fewest bits as the only choice of each layer."""
    return tuple(knob if knob.kind == "channels" else replace(knob, choices=knob.choices[:1]) for knob in knobs)


def rows_of(table: SensitivityTable, knobs: Sequence[Knob]) -> SensitivityTable:
    """The losses of these knobs' choices alone, from a table that has them all."""
    known = {
        name: dict(zip(choices, losses, strict=True))
        for name, choices, losses in zip(table.knobs, table.choices, table.losses, strict=True)
    }
    return SensitivityTable(
        tuple(knob.name for knob in knobs),
        tuple(knob.choices for knob in knobs),
        tuple(tuple(known[knob.name][choice] for choice in knob.choices) for knob in knobs),
    )


def _without_bits(judge: Evaluator, policy: CompressionPolicy) -> Evaluation:
    """The float network's loss under the whole policy's name, by which the search knows it."""
    return replace(judge(CompressionPolicy(policy.channels)), policy=policy)


def _only(knob: Knob, width: int) -> tuple[int, ...]:
    return (width,) if width in knob.choices else knob.choices[:1]


def _weights(subject: Subject, policy: CompressionPolicy) -> dict[str, int]:
    graph = subject.traced.graph
    whole = checked_policy(graph, policy)
    kept = {group.name: whole.channels.get(group.name, group.channels) for group in graph.groups}
    return {
        layer.name: layer.outputs.size(kept) * layer.filter_inputs.size(kept) * layer.kernel[0] * layer.kernel[1]
        for layer in graph.layers
    }
