"""Whole runs: start one, go on with one, fine-tune or export what one has found."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from torch import nn

from automl.core.errors import AutoMLError, InputError, InterruptedRunError, NoFeasiblePolicyError, RunError
from automl.core.policy import CompressionPolicy, checked_policy
from automl.core.user_code import NOTHING, Named
from automl.evaluate.dense import DenseNetwork
from automl.export.policy_file import read_policy
from automl.export.weights_file import read_weights
from automl.pipeline.baseline import describe_start, ensure_baseline
from automl.pipeline.clocking import clock
from automl.pipeline.conversation import Conversation
from automl.pipeline.dense import dense_network
from automl.pipeline.ending import MORE, ending
from automl.pipeline.epochs import curves_of
from automl.pipeline.exporting import export_network
from automl.pipeline.finishing import finish
from automl.pipeline.held import held
from automl.pipeline.introducing import introduce
from automl.pipeline.promotion import candidates, promote
from automl.pipeline.publishing import run_study
from automl.pipeline.rebuilding import rebuilt
from automl.pipeline.reporting import render_run
from automl.pipeline.results import budget_lines
from automl.pipeline.run_log import run_log
from automl.pipeline.searching import Found, run_search
from automl.pipeline.settling import settle
from automl.pipeline.sharing import open_helpers
from automl.pipeline.subject import Subject, at_levels, open_subject, reopen_subject
from automl.report.metrics import BudgetLine, Metrics
from automl.runtime.device_profile import profile_text
from automl.runtime.measuring import refuse_elsewhere, refuse_without
from automl.store.address import StudyAddress
from automl.store.config import RunConfig, load_config, to_toml
from automl.store.files import write_text
from automl.store.manifest import check_fingerprint, manifest_text, new_manifest, read_manifest
from automl.store.password import masked
from automl.store.run import Run, check_free, create_run, free_name, open_run
from automl.store.space import check_space
from automl.store.study import open_study
from automl.store.trials import CompletedTrial, completed, completed_trials
from automl.store.workers import workers

_CHECKPOINT = 3
"""Size of a checkpoint, over that of the network's weights."""


def start_run(
    config: RunConfig, runs: Path, name: str | None, command: Sequence[str], conversation: Conversation
) -> tuple[Run, Metrics]:
    """Searches, fine-tunes and exports in a new folder.

    Everything that can be refused is refused before the folder is made and before anything is trained.

    Args:
        config: What is asked.
        runs: Folder of all runs.
        name: Name of the new run; None makes one of model and budget.
        command: The command line, for the manifest.
        conversation: Shows what happens.

    Raises:
        AutoMLError: Each with its exit code; see `core.errors`.
    """
    if name is not None:
        check_free(runs, name)
    if config.storage is not None:
        if name is None:
            raise InputError("A search that others join needs a name that they know. Give it one with `--name`.")
        _refuse_taken(StudyAddress.parse(config.storage, name))
    subject = open_subject(config, conversation.say)
    _check_space(runs, subject)
    introduce(subject, conversation)
    open_helpers(subject, conversation)
    manifest = new_manifest(subject.fingerprint, seed=config.seed, command=masked(command), started=datetime.now())
    files = {"manifest.json": manifest_text(manifest), "config.toml": to_toml(config)}
    if subject.latency is not None:
        files["device.json"] = profile_text(subject.latency.profile)
    run = create_run(runs, name or free_name(runs, config.model, subject.fingerprint.budget), files)
    conversation.say(f"Run: {run.name}")
    with run.locked(), run_log(run):
        return run, _through(run, subject, runs, conversation)


def resume_run(
    runs: Path,
    name: str,
    trials: int | None,
    more: int | None,
    conversation: Conversation,
    named: Named = NOTHING,
) -> tuple[Run, Metrics]:
    """Goes on with a run where it was stopped or killed.

    Args:
        runs: Folder of all runs.
        name: Name or path of the run.
        trials: New number of trials in all; None keeps it.
        more: Trials to add to those that are completed; None adds none.
        conversation: Shows what happens.
        named: The run's own code, which is imported only if the user names it.

    Raises:
        RunError: If there is no such run, or its model, data or budget has changed.
        AutoMLError: As `start_run`.
    """
    run = open_run(runs, name)
    with run.locked(), run_log(run):
        config = _own_config(run, named)
        if more is not None:
            with run_study(run, config) as study:
                trials = len(completed(study)) + more
        config = config if trials is None else replace(config, trials=trials)
        subject = _same_subject(run, config)
        _check_space(run.path, subject)
        introduce(subject, conversation)
        open_helpers(subject, conversation)
        write_text(run.config, to_toml(config))
        return run, _through(run, subject, run.path.parent, conversation)


def finetune_run(
    runs: Path, name: str, epochs: int | None, conversation: Conversation, named: Named = NOTHING
) -> tuple[Run, Metrics]:
    """Fine-tunes the best policy of a finished search again and exports it.

    Args:
        runs: Folder of all runs.
        name: Name or path of the run.
        epochs: Epochs of the fine-tuning; None chooses them by the data.
        conversation: Shows what happens.
        named: The run's own code, which is imported only if the user names it.

    Raises:
        RunError: If the run has no completed trial.
        AutoMLError: As `start_run`.
    """
    run = open_run(runs, name)
    with run.locked(), run_log(run):
        config = _own_config(run, named)
        config = replace(config, finetune_epochs=epochs, trials=_completed_trials(run, config))
        subject = _same_subject(run, config)
        _check_space(run.path, subject)
        open_helpers(subject, conversation)
        write_text(run.config, to_toml(config))
        return run, _through(run, subject, run.path.parent, conversation)


def export_run(
    runs: Path,
    name: str,
    trial: int | None,
    folder: Path | None,
    conversation: Conversation,
    named: Named = NOTHING,
) -> tuple[Path, tuple[BudgetLine, ...]]:
    """Writes the network of a run, or of one of its trials, to a folder and verifies it.

    Args:
        runs: Folder of all runs.
        name: Name or path of the run.
        trial: Number of a trial, exported without fine-tuning; None takes the run's result.
        folder: Where to write; None makes `exports/` in the run.
        conversation: Shows what happens.
        named: The run's own code, which is imported only if the user names it.

    Raises:
        RunError: If the run has no result yet, or no such trial.
    """
    run = open_run(runs, name)
    target = folder or run.path / "exports" / ("best" if trial is None else f"trial-{trial}")
    if trial is None and not run.policy.is_file():
        raise RunError(
            f"A run must have a result to export, but {run.name!r} has none yet. Finish it: `automl resume`."
        )
    subject = _same_subject(run, _own_config(run, named))
    if trial is None:
        policy, network = _result(run, subject)
    else:
        chosen = _completed_trial(run, subject.config, trial)
        policy = checked_policy(subject.traced.graph, chosen.evaluation.policy)
        subject = at_levels(subject)[chosen.level]
        ensure_baseline(subject, run.path.parent, run.state / "baseline.safetensors", conversation)
        network = _untuned(dense_network(subject), policy)
    exported = export_network(target, subject, policy, network, held(subject, subject.splits.selection))
    timed = clock(subject, policy, target / "model.onnx") if subject.clocked else None
    return target, budget_lines(subject, policy, exported.onnx_cost, timed)


def train_baseline(config: RunConfig, runs: Path, conversation: Conversation) -> Subject:
    """Trains the dense network alone; its weights are in the cache beside the runs, and in the subject."""
    subject = open_subject(config)
    conversation.say(describe_start(subject.network))
    open_helpers(subject, conversation)
    try:
        ensure_baseline(subject, runs, None, conversation)
    except InterruptedRunError as stopped:
        raise InterruptedRunError(f"{stopped} The same command goes on from there.") from stopped
    return subject


def _refuse_taken(address: StudyAddress) -> None:
    """The database must answer before anything is trained, and the name must be free in it."""
    with open_study(address) as study:
        if study.get_trials(deepcopy=False) or workers(study):
            raise RunError(
                f"A new search needs a study of its own, but {address} has one called {address.name!r}. "
                "Choose another `--name`, or go on with its run: `automl resume`."
            )


def _check_space(folder: Path, subject: Subject) -> None:
    """A checkpoint holds the weights, the momentum of each, and the best ones so far."""
    weights_bytes = sum(tensor.nbytes for tensor in subject.model.state_dict().values())
    check_space(folder, _CHECKPOINT * weights_bytes)


def _through(run: Run, subject: Subject, runs: Path, conversation: Conversation) -> Metrics:
    conversation.progress.plan(_phases(subject))
    try:
        saved = run.state / "baseline.safetensors"
        ensure_baseline(subject, runs, saved, conversation, curves_of(run, subject.config))
        dense = dense_network(subject)
        found = run_search(run, subject, dense, conversation)
        found, policies = _candidates(run, subject, found, conversation)
        best = promote(run, subject, dense, policies, conversation)
        return finish(run, subject, dense, found, best, conversation)
    except BaseException as error:
        if isinstance(error, InterruptedRunError) and subject.config.storage is None:
            with suppress(AutoMLError):  # before the first trial there is nothing to report
                render_run(run)
        more = MORE if isinstance(error, NoFeasiblePolicyError) else ()
        error.add_note("\n".join(ending(run, subject.config, *more)))
        raise


def _phases(subject: Subject) -> list[str]:
    """What a whole run consists of, in order; an earlier session may have done some of it."""
    config = subject.config
    timing = ["Timing"] if subject.latency is not None and subject.clocked else []
    return [
        *([] if subject.network.trained else ["Baseline"]),
        "Sensitivity",
        *timing,
        "Search",
        *timing,
        "Promotion",
        *([] if config.finetune_epochs == 0 else ["Fine-tune"]),
        *([] if config.bits is None or config.finetune_epochs == 0 else ["Quantize"]),
        "Export",
    ]


def _candidates(
    run: Run, subject: Subject, found: Found, conversation: Conversation
) -> tuple[Found, list[CompressionPolicy]]:
    """The best few policies, brought to the latency budget as timed where there is one; the solver's answer as well."""
    policies = candidates(found)
    if subject.latency is None or not subject.clocked:
        return found, policies
    settled = settle(run, subject, policies, conversation)
    solved = next((x.policy for x in settled if x.origin.digest() == found.solved.digest()), found.solved)
    return replace(found, solved=solved), [each.policy for each in settled]


def _own_config(run: Run, named: Named) -> RunConfig:
    """The run's settings, where all that they would import is named by the user too."""
    config = load_config(run.config)
    named.check_code(model=config.model, data=config.data)
    for what, wanted, given in (("model", config.model, named.model), ("data", config.data, named.data)):
        if given not in (None, wanted):
            raise InputError(f"A run goes on with its own {what}, {wanted!r}, but got {given!r}. Leave it out.")
    return config


def _same_subject(run: Run, config: RunConfig) -> Subject:
    begun = read_manifest(run.manifest).fingerprint
    subject = reopen_subject(run, config)
    if subject.clocked:
        refuse_without(subject.runtime)
        if subject.latency is not None:
            refuse_elsewhere(subject.latency.profile)
    check_fingerprint(begun, subject.fingerprint)
    return subject


def _completed_trials(run: Run, config: RunConfig) -> int:
    with run_study(run, config) as study:
        done = len(completed(study))
    if not done:
        raise RunError(f"The run {run.name!r} has no completed trial. Search first: `automl resume {run.name}`.")
    return done


def _completed_trial(run: Run, config: RunConfig, number: int) -> CompletedTrial:
    with run_study(run, config) as study:
        finished = completed_trials(study.get_trials(deepcopy=False))
        found = next((trial for trial in finished if trial.number == number), None)
    if found is None:
        raise RunError(
            f"A trial must be completed to be exported, but {number} of {run.name!r} is not; {run.trials_csv} lists "
            "those that are."
        )
    return found


def _untuned(dense: DenseNetwork, policy: CompressionPolicy) -> nn.Module:
    network = dense.finalist(policy)
    return dense.quantized(network, policy) if policy.bits else network


def _result(run: Run, subject: Subject) -> tuple[CompressionPolicy, nn.Module]:
    policy = checked_policy(subject.traced.graph, read_policy(run.policy).policy)
    network = rebuilt(subject.model, subject.traced, policy, rounded=bool(policy.bits))
    read_weights(run.weights, network, policy_digest=policy.digest())
    return policy, network
