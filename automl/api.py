"""`automl search` and `automl resume` from Python, with the same defaults, run folders and refusals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.core.errors import InputError
from automl.core.policy import CompressionPolicy
from automl.core.user_code import Named
from automl.export.policy_file import read_policy
from automl.pipeline.conversation import narrated
from automl.pipeline.runs import resume_run, start_run
from automl.pipeline.settings import bits_of, resolved
from automl.report.console import show_result
from automl.report.metrics import Metrics
from automl.store.run import Run

_COMMAND = ("automl.api.search",)
"""What the manifest says in place of a command line; the arguments are in the run's config.toml."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a run came to."""

    run: Path
    """Its folder, absolute: what `resume` and the commands take (`automl show PATH`)."""
    metrics: Metrics
    """Accuracies, costs, and every budget as asked, predicted and measured; of `metrics.final` on the test images."""
    policy: CompressionPolicy
    """Channels kept per group, and bits per layer where they were searched."""
    files: Mapping[str, Path]
    """Those that are there of `onnx`, `weights`, `policy`, `metrics`, `report`, `trials` and `log`."""


def search(
    budget: str | Sequence[str] | None = None,
    *,
    pareto: str | None = None,
    model: str | None = None,
    data: str | None = None,
    weights: str | Path | None = None,
    engine: str | None = None,
    agent: str | None = None,
    trials: int | None = None,
    time_s: float | None = None,
    name: str | None = None,
    storage: str | None = None,
    trial_time_s: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    input_size: int | None = None,
    channel_multiple: int | None = None,
    min_keep: float | None = None,
    bits: str | None = None,
    first_last_bits: int | None = None,
    precision: str | None = None,
    target: str | Path | None = None,
    threads: int | None = None,
    runtime: str | None = None,
    importance: str | None = None,
    epochs: int | None = None,
    finetune_epochs: int | None = None,
    limit: int | None = None,
    tensorboard: bool | None = None,
    config: str | Path | None = None,
    runs: str | Path = "runs",
    verbose: bool = True,
) -> SearchResult:
    """Searches, fine-tunes and exports in a new run folder, as `automl search` does.

    An argument that is None has the default of the command, or what `config` says. An exception that ends the call,
    such as a KeyboardInterrupt, loses at most the running trial: `resume` goes on.

    Args:
        budget: What the result may cost, such as `0.25flops` or `["0.5latency", "2MB"]`: fractions of the dense float
            network or absolute values; all of them hold. Needed, here or in `config`, unless `pareto` is given.
        pareto: Range of budgets that trials are held to in turn, such as `flops:0.15..0.6`; `metrics.front` lists the
            trials that no other one beats, and the result is the network of the tightest budget.
        model: `timm:NAME`, `torchvision:NAME`, `cifar_resnet20`, or `pkg.mod:factory`, which `__main__:factory` is
            for a function of a notebook.
        data: `digits`, `imagefolder:DIR`, `synthetic:clutter`, `torchvision:NAME?root=DIR` or `pkg.mod:factory`.
        weights: A `.pth` or `.safetensors` file, or `pretrained`; without any a baseline is trained.
        engine: A name that `automl engines` lists.
        agent: Settings of the engines ddpg, td3 and sac, such as `reward=kl,noise=0.2`.
        trials: Policies to evaluate in all, at least 1.
        time_s: Longest search, in seconds.
        name: Of the new run; None makes one of model and budget.
        storage: URL of a database that workers share; None keeps the trials in the run's folder.
        trial_time_s: Longest time of one trial, in seconds.
        seed: Of splits, training and search.
        device: Where to compute: `auto`, `cpu` or `cuda`.
        input_size: Height and width of the images, in pixels.
        channel_multiple: Kept channels are multiples of this.
        min_keep: Share of every group's channels that always stays, in [0, 1].
        bits: Bit-widths to choose from, such as `8`, `4,8` or `w2-8a8`; None leaves the network in float.
        first_last_bits: Bits of the first and the last layer.
        precision: `fp32`, or `int8` for 8 bits in every layer.
        target: `device.json` of the device that latency budgets are about; None takes this machine.
        threads: CPU threads of a call whose latency counts, at least 1.
        runtime: What latencies are those of: `onnxruntime` or `openvino`.
        importance: How channels are ranked: `obs`, `l1`, `l2`, `taylor`, `bn` or `random`.
        epochs: Of the baseline's training.
        finetune_epochs: Of the fine-tuning; 0 skips it.
        limit: Most images that are used.
        tensorboard: Whether to write the curves of search and training.
        config: TOML file with any of the settings above.
        runs: Folder of all runs.
        verbose: Whether to show on stderr what happens, and the final table.

    Returns:
        The result, which is also in the run's folder.

    Raises:
        InputError: If an argument breaks its rule; nothing has been trained or written then.
        NoFeasiblePolicyError: If the exported file breaks a budget; the files are there all the same.
        AutoMLError: If the run cannot go on; see `automl.core.errors`.
    """
    given = {
        "budget": (budget,) if isinstance(budget, str) else budget,
        "pareto": pareto,
        "model": model,
        "data": data,
        "weights": _text(weights),
        "engine": engine,
        "agent": agent,
        "trials": trials,
        "time_s": time_s,
        "storage": storage,
        "trial_time_s": trial_time_s,
        "seed": seed,
        "device": device,
        "input_size": input_size,
        "channel_multiple": channel_multiple,
        "min_keep": min_keep,
        "bits": bits_of(precision, bits),
        "first_last_bits": first_last_bits,
        "target": _text(target),
        "threads": threads,
        "runtime": runtime,
        "importance": importance,
        "epochs": epochs,
        "finetune_epochs": finetune_epochs,
        "limit": limit,
        "tensorboard": tensorboard,
    }
    settings = resolved(None if config is None else Path(config), given)
    with narrated(verbose=verbose) as conversation:
        run, metrics = start_run(settings, Path(runs), name, _COMMAND, conversation)
        show_result(conversation.console, metrics, run.name)
    return _result(run, metrics)


def resume(
    run: str | Path,
    *,
    trials: int | None = None,
    more: int | None = None,
    model: str | None = None,
    data: str | None = None,
    runs: str | Path = "runs",
    verbose: bool = True,
) -> SearchResult:
    """Goes on with a run that was stopped or killed, or gives a finished one more trials, as `automl resume` does.

    Args:
        run: Name of a run in `runs`, or path of its folder.
        trials: New number of trials in all, at least 1; None keeps it.
        more: Trials to add to those that are completed, at least 1, in place of `trials`.
        model: The run's model, where it is code of yours, which is imported only if you name it again.
        data: The run's data, the same.
        runs: Folder of all runs.
        verbose: Whether to show on stderr what happens, and the final table.

    Returns:
        The result, which is also in the run's folder.

    Raises:
        RunError: If there is no such run, or its model, data or budget has changed.
        InputError: If both `trials` and `more` are given, or the one that is given is below 1.
        AutoMLError: As `search`.
    """
    if trials is not None and more is not None:
        raise InputError(f"A run has a new number of trials or more of them, but got {trials=} and {more=}. Give one.")
    if more is not None and more < 1:
        raise InputError(f"`more` must be at least 1 trial, but got {more}. Leave it out to add none.")
    with narrated(verbose=verbose) as conversation:
        folder, metrics = resume_run(Path(runs), str(run), trials, more, conversation, Named(model, data))
        show_result(conversation.console, metrics, folder.name)
    return _result(folder, metrics)


def _result(run: Run, metrics: Metrics) -> SearchResult:
    return SearchResult(run.path, metrics, read_policy(run.policy).policy, run.files())


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
