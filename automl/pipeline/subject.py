"""What a run works on: data, network, graph, space and budget, checked before anything is written or trained."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from automl.compress.importance import CRITERIA
from automl.compress.places import with_quantizable
from automl.compress.probe import trace_prunable
from automl.core.bits import INT8, BitChoices, first_and_last
from automl.core.budget import Budget, Metric
from automl.core.cost import Cost
from automl.core.errors import InputError, ModelError
from automl.core.graph import ModelGraph
from automl.core.limits import MOST_EPOCHS, MOST_MULTIPLE, MOST_SECONDS, MOST_SEED, MOST_THREADS, MOST_TRIALS
from automl.core.policy import dense_policy
from automl.core.projection import Projection
from automl.costs.model import AnalyticCostModel
from automl.data.splits import Splits
from automl.models.weights import weights_digest
from automl.pipeline.network import Network, open_network
from automl.pipeline.profiling import (
    DeviceLatency,
    Say,
    device_latency,
    local_profile,
    probing_pack,
    profile_from_file,
    target_of,
)
from automl.runtime.measuring import refuse_without
from automl.runtime.pack import write_pack
from automl.runtime.target import Precision, Runtime, Target, find_runtime
from automl.search.curves import refuse_without_tensorboard
from automl.search.registry import find_engine
from automl.store.config import RunConfig
from automl.store.files import replacing
from automl.store.manifest import Fingerprint
from automl.store.run import Run
from automl.tracing.channel_map import TracedModel
from search_spaces.rules import WidthRule, default_rule
from search_spaces.space import SearchSpace, channel_space, joint_space


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that a run needs but its trained baseline."""

    config: RunConfig
    network: Network
    traced: TracedModel
    space: SearchSpace
    cost_model: AnalyticCostModel
    dense_cost: Cost
    budget: Budget
    """With a range of budgets the tightest one."""
    projection: Projection
    latency: DeviceLatency | None
    """Of the device that a latency budget is about; None where there is no such budget."""
    fingerprint: Fingerprint
    device: torch.device

    @property
    def splits(self) -> Splits:
        """The data set, divided."""
        return self.network.splits

    @property
    def clocked(self) -> bool:
        """Whether the result is timed on this machine: where time counts, and no other device is meant."""
        return self.config.target is None and self.time_counts

    @property
    def time_counts(self) -> bool:
        """Whether a latency is limited, or `--precision int8` asks for speed."""
        return self.latency is not None or self.config.bits == INT8

    @property
    def runtime(self) -> Runtime:
        """What latencies are those of."""
        return find_runtime(self.config.runtime)

    @property
    def model(self) -> nn.Module:
        """The dense network; trained in place where its weights are not."""
        return self.network.model


def open_subject(config: RunConfig, say: Say = lambda _: None) -> Subject:
    """Opens what `config` names and checks that the budget can be met.

    Where a latency is limited, the device is known from its profile, or this machine is timed.

    Args:
        config: What is asked.
        say: Is told what takes a while, and what the device is.

    Raises:
        InputError: If any setting, file, network or budget breaks its rule; nothing has been written then.
    """
    budget = _checked_settings(config)
    device = find_device(config.device)
    timed = bool(budget.limits_of(Metric.LATENCY))
    if config.target is None and (timed or config.bits == INT8):
        refuse_without(find_runtime(config.runtime))
    network, traced, space = open_space(config, timed=timed)
    latency = _device_latency(config, network.model, traced, space, say) if timed else None
    cost_model = AnalyticCostModel(traced.graph, None if latency is None else latency.fit.form)
    dense_cost = cost_model(dense_policy(traced.graph))
    if latency is not None:
        dense_cost = replace(dense_cost, latency_ms=latency.reference_ms)
        budget = budget.with_margin(Metric.LATENCY, latency.margin)
    projection = Projection(space.knobs, cost_model, budget, dense_cost)
    fingerprint = Fingerprint(
        model=config.model,
        weights=weights_digest(network.model),
        data=network.splits.digest,
        space=_space_digest(traced, space),
        budget=str(budget) if config.pareto is None else ",".join(config.asked),
    )
    network.model.to(device)
    return Subject(
        config, network, traced, space, cost_model, dense_cost, budget, projection, latency, fingerprint, device
    )


def reopen_subject(run: Run, config: RunConfig) -> Subject:
    """As `open_subject`, with the times that the run has kept: they cost its policies, whatever is measured today."""
    timed = replace(config, target=str(run.device)) if run.device.is_file() else config
    return replace(open_subject(timed), config=config)


def at_levels(subject: Subject) -> list[Subject]:
    """The subject under each budget of its range, the tightest first; itself alone where there is no range."""
    found = [subject]
    for level in subject.config.levels[1:]:
        budget = Budget((level.limits[0], *subject.budget.limits[1:]))  # the others have the margins of what was timed
        projection = Projection(subject.space.knobs, subject.cost_model, budget, subject.dense_cost)
        found.append(replace(subject, budget=budget, projection=projection))
    return found


def open_space(config: RunConfig, *, timed: bool) -> tuple[Network, TracedModel, SearchSpace]:
    """The network that `config` names, what tracing knows of it, and what policies may have.

    Args:
        config: What is asked.
        timed: Whether time counts, and widths are to be what runtimes compute fast.

    Raises:
        InputError: If the model or data cannot be opened, or nothing of the network can be pruned.
    """
    network = open_network(config)
    traced = trace_prunable(network.model, network.splits.input_shape)
    if not traced.graph.prunable:
        reasons = "; ".join(sorted({group.reason or "" for group in traced.graph.groups})) or "it has no layers"
        raise ModelError(f"A model must have channels that can be removed, but {config.model!r} has none: {reasons}.")
    multiple = config.channel_multiple or default_rule(traced.graph, timed=timed or config.bits == INT8).multiple
    rule = WidthRule(multiple, config.min_keep)
    if config.bits is None:
        return network, traced, channel_space(traced.graph, rule)
    traced = with_quantizable(network.model, traced)
    return network, traced, _joint_space(traced.graph, rule, config)


def write_probes(config: RunConfig, path: Path) -> int:
    """Writes a pack that times this network's policies on any device; returns the number of networks in it.

    Args:
        config: `model`, `data`, `input_size`, `bits`, `threads`, `runtime` and the rule of the widths, as the search
            has them.
        path: The zip file.

    Raises:
        InputError: If the model or data cannot be opened.
        ExportError: If the network cannot be exported.
        RunError: If the disk is full or the folder cannot be written.
    """
    _checked_settings(config)
    network, traced, space = open_space(config, timed=True)
    pack, graphs = probing_pack(network.model.eval(), traced, space.knobs, _target(config, traced))
    with replacing(path) as aside:
        write_pack(aside, pack, graphs)
    return len(graphs)


def _target(config: RunConfig, traced: TracedModel) -> Target:
    precision: Precision = "fp32" if config.bits is None else "int8"
    return target_of(config.model, traced.graph, precision, config.threads, find_runtime(config.runtime))


def _device_latency(
    config: RunConfig, model: nn.Module, traced: TracedModel, space: SearchSpace, say: Say
) -> DeviceLatency:
    target = _target(config, traced)
    if config.target is None:
        profile = local_profile(model.eval(), traced, space.knobs, target, say)
    else:
        profile = profile_from_file(Path(config.target), target)
    return device_latency(profile, traced.graph)


def _joint_space(graph: ModelGraph, rule: WidthRule, config: RunConfig) -> SearchSpace:
    if graph.quantizable is None or not graph.quantizable.layers:
        raise ModelError(
            f"`--bits` needs convolutions or linear layers that run once, as modules, but {config.model!r} has none. "
            "Leave `--bits` out."
        )
    ends = first_and_last(config.first_last_bits)
    return joint_space(graph, rule, BitChoices.parse(config.bits or ""), ends)


def find_device(name: str) -> torch.device:
    """The device called `auto`, `cpu` or `cuda`.

    Raises:
        InputError: If the name is unknown, or there is no such device.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise InputError(f"`--device` must be auto, cpu or cuda, but got {name!r}.")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise InputError("`--device cuda` needs a GPU that torch can use, but there is none. Use `--device cpu`.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def _checked_settings(config: RunConfig) -> Budget:
    """The cheap checks first, before any import of data or weights."""
    budget = config.levels[0]
    if config.bits is not None:
        BitChoices.parse(config.bits)
        first_and_last(config.first_last_bits)
    find_engine(config.engine, config.agent)
    find_runtime(config.runtime)
    if config.tensorboard:
        refuse_without_tensorboard()
    if config.importance not in CRITERIA:
        raise InputError(f"`--importance` must be one of {', '.join(CRITERIA)}, but got {config.importance!r}.")
    _check_numbers(config)
    if config.weights not in (None, "pretrained") and not Path(config.weights or "").is_file():
        raise InputError(f"`--weights` must name a file or be `pretrained`, but there is no file {config.weights!r}.")
    return budget


def _check_numbers(config: RunConfig) -> None:
    ranges = {
        "trials": (config.trials, 1, MOST_TRIALS),
        "threads": (config.threads, 1, MOST_THREADS),
        "divisor": (config.channel_multiple, 1, MOST_MULTIPLE),
        "epochs": (config.epochs, 1, MOST_EPOCHS),
        "finetune-epochs": (config.finetune_epochs, 0, MOST_EPOCHS),
        "seed": (config.seed, 0, MOST_SEED),
    }
    for name, (value, least, most) in ranges.items():
        if value is not None and not least <= value <= most:
            raise InputError(f"`--{name}` must be at least {least} and at most {most:,}, but got {value}.")
    for name, limit in (("time", config.time_s), ("trial-time", config.trial_time_s)):
        if limit is not None and not 0 < limit <= MOST_SECONDS:
            raise InputError(
                f"`--{name}` must be above 0 and at most {MOST_SECONDS / 3600:,.0f} hours, but got {limit:g} s."
            )


def _space_digest(traced: TracedModel, space: SearchSpace) -> str:
    text = json.dumps([asdict(traced.graph), [asdict(knob) for knob in space.knobs]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
