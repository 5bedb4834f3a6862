"""What `benchmarks.latency_budget` compares: the product under a latency budget, and the same under a FLOPs budget."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from automl.core.errors import BudgetError, NoFeasiblePolicyError
from automl.core.knob import policy_of
from automl.core.policy import CompressionPolicy, dense_policy
from automl.core.sensitivity import SensitivityTable
from automl.core.user_code import Named
from automl.evaluate.dense import DenseNetwork
from automl.evaluate.held import Batches
from automl.evaluate.measure import Answers, answers, compare
from automl.export.policy_file import read_policy
from automl.export.session import OnnxClassifier
from automl.export.weights_file import WeightsInfo, write_weights
from automl.pipeline.clocking import times_ms
from automl.pipeline.conversation import Conversation
from automl.pipeline.dense import dense_network
from automl.pipeline.exporting import export_network
from automl.pipeline.finishing import finetuned
from automl.pipeline.held import held
from automl.pipeline.probing import exported_graph
from automl.pipeline.promotion import candidates, promote
from automl.pipeline.runs import resume_run, start_run
from automl.pipeline.searching import run_search
from automl.pipeline.sensitivity import sensitivity_table
from automl.pipeline.subject import Subject, open_subject
from automl.report.metrics import read_metrics
from automl.runtime.runner import cpu_name
from automl.search.solver import Solver
from automl.store.config import RunConfig
from automl.store.run import Run, create_run
from benchmarks.cache import ResultCache
from benchmarks.latency_match import Round, closest, matched
from benchmarks.nets import Net, at_budget, open_net

_TABLE = "sensitivity.json"
"""Of a run's state; it does not depend on the budget."""


@dataclass(frozen=True, slots=True)
class Task:
    """One search."""

    net: Net
    share: float
    """Latency budget, of the dense network's latency; two decimals."""
    seed: int
    """Divides the images; of search and training."""
    trials: int
    """Evaluations of a search."""
    epochs: int
    """Of the fine-tuning."""

    @property
    def budget(self) -> str:
        """As `--budget` takes it."""
        return f"{self.share:.2f}latency"

    def facts(self) -> dict[str, Any]:
        """What every result depends on, as JSON values: the machine as well."""
        here = {"threads": torch.get_num_threads(), "runtime": onnxruntime.__version__, "cpu": cpu_name()}
        return {**asdict(self), "budget": self.budget, **here}

    def name(self, arm: str) -> str:
        """Of the run folder of an arm."""
        digest = hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()
        return f"{self.net.name}-{self.seed}-{self.budget}-{digest[:8]}-{arm}"

    def config(self, weights: Path) -> RunConfig:
        """The latency-driven search as `automl search` is asked for it; `weights` are the dense network's."""
        return RunConfig(
            model=self.net.model,
            data=self.net.data,
            budget=(self.budget,),
            weights=str(weights),
            input_size=self.net.input_size,
            trials=self.trials,
            seed=self.seed,
            finetune_epochs=self.epochs,
        )


@dataclass(frozen=True, slots=True)
class Worth:
    """What an exported file is worth on the test images, and what it took."""

    accuracy: float
    """Agreement with the dense network where there are no labels. In [0, 1]."""
    divergence: float
    """KL divergence from the dense network, in nats."""
    macs: float
    """Share of the dense network's multiply-adds."""
    seconds: float
    """From the dense network to the file, of the last session; for the FLOPs-driven arm all of its searches."""


@dataclass(frozen=True, slots=True)
class Found:
    """Both arms at one budget; latencies are shares of the dense network's in the same process."""

    own: float
    """The latency-driven file, as its run measured it."""
    again: float
    """The same file in a fresh process: this one counts."""
    flops: float
    """Multiply-adds that the FLOPs-driven search was allowed, of the dense network's."""
    rounds: int
    """Budgets that were tried for it."""
    ratio: float
    """Latency of the FLOPs-driven file over that of the latency-driven one, call by call in turns."""
    latency_driven: Worth
    flops_driven: Worth
    dense: float
    """Accuracy of the dense network, in [0, 1]."""
    images: int
    """Test images."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search."""

    share: float
    """The latency budget."""
    seed: int
    found: Found | None
    """None where the product found no network within the budget."""
    refused: str = ""
    """Why."""

    @property
    def met(self) -> bool:
        """Whether there is a file, and it is within the budget when it is timed again."""
        return self.found is not None and self.found.again <= self.share


class Bench:
    """One search, arm by arm; each result is on disk as soon as it is there, and so are the run folders."""

    def __init__(self, task: Task, folder: Path, fresh: bool, talk: Conversation) -> None:
        """Opens nothing yet: where all results are on disk, nothing has to be.

        Args:
            task: What is searched.
            folder: Keeps the results.
            fresh: Whether to search and time again what is there.
            talk: Shows what happens.
        """
        self._task, self._folder, self._fresh, self._talk = task, folder, fresh, talk
        self._runs = folder / "runs"
        self._run, self._rival = (Run(self._runs / task.name(arm)) for arm in ("latency", "flops"))

    def outcome(self) -> Outcome:
        """Both arms; raises `InterruptedRunError` where the user stopped."""
        share, seed = self._task.share, self._task.seed
        ours = self._kept({"arm": "latency"}, self._searched, self._run.onnx)
        if "refused" in ours:
            return Outcome(share, seed, None, ours["refused"])
        policy = CompressionPolicy.from_json(ours["policy"])
        facts = {"policy": policy.digest()}
        again = self._kept({"what": "timed again", **facts}, partial(self._timed, policy))
        theirs = self._kept({"arm": "flops", **facts}, partial(self._matched, policy))
        rival = CompressionPolicy.from_json(theirs["policy"])
        facts |= {"rival": rival.digest()}
        trained = self._kept({"what": "training", **facts}, partial(self._trained, rival), self._rival.onnx)
        both = self._kept({"what": "both files", **facts}, partial(self._compared, policy, rival))
        found = Found(
            own=ours["own"],
            again=again["share"],
            flops=theirs["share"],
            rounds=theirs["rounds"],
            ratio=both["ratio"],
            latency_driven=Worth(**both["ours"], seconds=ours["seconds"]),
            flops_driven=Worth(**both["theirs"], seconds=theirs["seconds"] + trained["seconds"]),
            dense=both["dense"],
            images=both["images"],
        )
        return Outcome(share, seed, found)

    def _kept(
        self, facts: Mapping[str, Any], work: Callable[[], Mapping[str, Any]], file: Path | None = None
    ) -> dict[str, Any]:
        """From disk where it is there, and its `file` as well, unless there never was one."""
        results = ResultCache(self._folder)
        fresh = self._fresh
        found = results.get({**self._task.facts(), **facts}, work, fresh=fresh)
        if file is not None and "refused" not in found and not file.is_file():
            return results.get({**self._task.facts(), **facts}, work, fresh=True)
        return found

    @cached_property
    def _config(self) -> RunConfig:
        net, seed = self._task.net, 0 if self._task.net.own_test else self._task.seed
        trained = open_net(net, seed, self._talk)
        path = self._folder / f"{net.name}-{seed}.safetensors"
        write_weights(path, trained.model, WeightsInfo(net.model, trained.fingerprint.weights))
        return self._task.config(path)

    @cached_property
    def _subject(self) -> Subject:
        """As the latency-driven run opens it; the FLOPs-driven searches have its widths, under other budgets."""
        return open_subject(self._config, self._talk.say)

    @cached_property
    def _dense(self) -> DenseNetwork:
        return dense_network(self._subject)

    @cached_property
    def _table(self) -> SensitivityTable:
        return sensitivity_table(self._run, self._subject, self._dense, self._talk)

    @cached_property
    def _test(self) -> tuple[Batches, Answers]:
        images = list(held(self._subject, self._subject.splits.test))
        return images, answers(self._subject.model, images, self._subject.device)

    def _searched(self) -> dict[str, Any]:
        """The product itself; a run that was interrupted goes on."""
        if self._run.path.exists() and (self._fresh or not self._run.config.is_file()):
            shutil.rmtree(self._run.path)
        assert self._subject.latency is not None  # what is timed once for a network is not the search's
        started = time.perf_counter()
        try:
            if self._run.path.exists():
                resume_run(
                    self._runs, self._run.name, None, None, self._talk, Named(self._config.model, self._config.data)
                )
            else:
                start_run(self._config, self._runs, self._run.name, ("benchmarks.latency_budget",), self._talk)
        except NoFeasiblePolicyError as error:
            if not self._run.metrics.is_file():
                return {"refused": str(error)}
        (line,) = read_metrics(self._run.metrics).budgets
        assert line.measured is not None
        return {
            "policy": read_policy(self._run.policy).policy.to_json(),
            "own": self._task.share * line.measured / line.asked,
            "seconds": time.perf_counter() - started,
        }

    def _timed(self, policy: CompressionPolicy) -> dict[str, Any]:
        (share,) = self._shares([(policy, onnx.load(self._run.onnx))])
        return {"share": share}

    def _matched(self, policy: CompressionPolicy) -> dict[str, Any]:
        """The FLOPs-driven search whose network takes as long as `policy`'s."""
        started = time.perf_counter()
        wanted_ms = self._subject.cost_model(policy).latency_ms
        assert wanted_ms is not None
        rounds = matched(cache(self._predicted_ms), partial(self._tried, policy), wanted_ms)
        best = closest(rounds)
        seconds = time.perf_counter() - started
        return {"policy": best.policy.to_json(), "share": best.share, "rounds": len(rounds), "seconds": seconds}

    def _predicted_ms(self, share: float) -> float:
        """Latency of the solver's plain answer; minus infinity where no policy is within the share."""
        try:
            subject = at_budget(self._subject, f"{share:.4f}flops")
        except BudgetError:
            return -math.inf
        knobs = subject.space.knobs
        solver = Solver(knobs, self._table, subject.cost_model, subject.budget, subject.dense_cost)
        policy = policy_of(knobs, solver.solve(np.zeros(len(knobs))).tolist())
        latency_ms = subject.cost_model(policy).latency_ms
        assert latency_ms is not None
        return latency_ms

    def _tried(self, policy: CompressionPolicy, share: float) -> Round:
        """Searches and promotes as a run does, and times what comes out beside `policy`'s file."""
        subject = at_budget(self._subject, f"{share:.4f}flops")
        with TemporaryDirectory() as folder:
            run = create_run(Path(folder), "search")
            shutil.copy(self._run.state / _TABLE, run.state / _TABLE)
            found = run_search(run, subject, self._dense, self._talk)
            rival = promote(run, subject, self._dense, candidates(found), self._talk)
        graph = exported_graph(subject.model.eval(), subject.traced, rival.channels, "fp32")
        ours, theirs = self._shares([(policy, onnx.load(self._run.onnx)), (rival, graph)])
        self._talk.say(f"{share:.4f}flops: {theirs / ours:.3f} times as long as the latency-driven network")
        return Round(share, rival, theirs / ours)

    def _trained(self, rival: CompressionPolicy) -> dict[str, Any]:
        """Fine-tunes and exports as a run does."""
        if self._fresh:
            shutil.rmtree(self._rival.path, ignore_errors=True)
        run = self._rival if self._rival.path.exists() else create_run(self._runs, self._rival.name)
        started = time.perf_counter()
        network = finetuned(run, self._subject, self._dense, rival, self._talk)
        export_network(run.best, self._subject, rival, network, self._test[0])
        return {"seconds": time.perf_counter() - started}

    def _compared(self, policy: CompressionPolicy, rival: CompressionPolicy) -> dict[str, Any]:
        """Both files in one process, and on the test images."""
        files = [(policy, self._run.onnx), (rival, self._rival.onnx)]
        ours, theirs = self._shares([(each, onnx.load(path)) for each, path in files])
        mine, others = (self._worth(*file) for file in files)
        reference = self._test[1]
        dense = compare(reference, reference)
        return {
            "ratio": theirs / ours, "ours": mine, "theirs": others, "dense": dense.accuracy, "images": dense.images
        }  # fmt: skip

    def _shares(self, networks: Sequence[tuple[CompressionPolicy, onnx.ModelProto]]) -> list[float]:
        """Latencies in a fresh process, of the dense network's there."""
        subject = self._subject
        whole = dense_policy(subject.traced.graph).channels
        graphs = [exported_graph(subject.model.eval(), subject.traced, whole, "fp32")]
        policies = [whole, *(policy.channels for policy, _ in networks)]
        dense_ms, *rest = times_ms(subject, policies, [*graphs, *(graph for _, graph in networks)])
        return [each / dense_ms for each in rest]

    def _worth(self, policy: CompressionPolicy, path: Path) -> dict[str, Any]:
        images, reference = self._test
        classifier = OnnxClassifier(path, threads=torch.get_num_threads())
        logits = torch.cat([torch.from_numpy(classifier.logits(batch)) for batch, _ in images])
        measured = compare(Answers(logits, reference.labels), reference)
        macs = self._subject.cost_model(policy).macs / self._subject.dense_cost.macs
        return {"accuracy": measured.accuracy, "divergence": measured.divergence, "macs": macs}
