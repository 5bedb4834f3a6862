"""`automl search`."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from automl.cli.options import RUNS, Config, Data, Device, InputSize, Json, Limit, Model, Runs, Runtime

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def search(
    budget: Annotated[
        list[str] | None,
        typer.Option(
            help="What the result may cost: 0.25flops, 0.5latency, 0.3params, 0.2size, 0.02bops (fractions of the "
            "dense float model) or 150Mflops, 5ms, 1.2Mparams, 2MB, 8Gbops; join several by commas. flops are "
            "multiply-adds, counted once; bops are these times the bits of weights and inputs; latency is that of one "
            "image in the `--runtime`, on this machine or on the one of `--target`."
        ),
    ] = None,
    pareto: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC:LOW..HIGH",
            help="A front in one search, such as flops:0.15..0.6: trials take turns at 5 budgets between the two "
            "fractions of the dense float model, of flops, params, size or bops. The network of the tightest one is "
            "fine-tuned and is the run's `best/`; `automl export RUN --trial N` writes any other of the front. "
            "`--budget` limits other metrics beside it.",
        ),
    ] = None,
    model: Model = None,
    data: Data = None,
    weights: Annotated[
        str | None, typer.Option(help="A .pth or .safetensors file, or `pretrained`. Without it a baseline is trained.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="How to search; `automl engines` lists them.")] = None,
    agent: Annotated[
        str | None,
        typer.Option(help="Settings of the engines ddpg, td3 and sac, such as reward=kl,actions=direct,noise=0.2."),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Policies to evaluate in all.")] = None,
    time: Annotated[str | None, typer.Option(help="Longest search, such as 90s, 30m or 2h.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new run.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="A database that workers on other machines share: postgresql://USER@HOST/DATABASE, password from "
            "PGPASSWORD or ~/.pgpass. Without it the trials are in the run's folder."
        ),
    ] = None,
    trial_time: Annotated[
        str | None, typer.Option(help="Longest time of one trial, which has failed then; 30m if not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of splits, training and search.")] = None,
    device: Device = None,
    input_size: InputSize = None,
    channel_multiple: Annotated[
        int | None,
        typer.Option("--divisor", "--channel-multiple", help="Kept channels are multiples of this."),
    ] = None,
    min_keep: Annotated[float | None, typer.Option(help="Share of every group that always stays.")] = None,
    bits: Annotated[
        str | None,
        typer.Option(
            help="Search bit-widths too and export integers: 8 or 4,8 for weights and activations alike, w2-8a8 or "
            "w4,8a8 for each. Without it the network stays in float."
        ),
    ] = None,
    first_last_bits: Annotated[
        int | None, typer.Option(help="Bits of the first and the last layer; 8 if not given.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32, or int8 for 8 bits in every layer, as `--bits 8` has it.")
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(help="device.json of the device that latency budgets are about; without it this machine."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of a call whose latency counts; 1 if not given.")
    ] = None,
    runtime: Runtime = None,
    importance: Annotated[
        str | None, typer.Option(help="How channels are ranked: obs, l1, l2, taylor, bn or random.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the baseline.")] = None,
    finetune_epochs: Annotated[int | None, typer.Option(help="Epochs of the fine-tuning; 0 skips it.")] = None,
    limit: Limit = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the curves of search and training for TensorBoard.")
    ] = False,
    config: Config = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Find the widths and bits that keep the most accuracy under the budget, fine-tune the best network, export it."""
    from automl.cli.outcome import show_json
    from automl.cli.result import show_outcome
    from automl.cli.session import conversation
    from automl.pipeline.settings import bits_of, resolved

    given = {
        "budget": tuple(budget) if budget else None,
        "pareto": pareto,
        "model": model,
        "data": data,
        "weights": weights,
        "engine": engine,
        "agent": agent,
        "trials": trials,
        "time_s": None if time is None else seconds("--time", time),
        "trial_time_s": None if trial_time is None else seconds("--trial-time", trial_time),
        "storage": storage,
        "seed": seed,
        "device": device,
        "input_size": input_size,
        "channel_multiple": channel_multiple,
        "min_keep": min_keep,
        "bits": bits_of(precision, bits),
        "first_last_bits": first_last_bits,
        "target": None if target is None else str(target),
        "threads": threads,
        "runtime": runtime,
        "importance": importance,
        "epochs": epochs,
        "finetune_epochs": finetune_epochs,
        "limit": limit,
        "tensorboard": True if tensorboard else None,
    }
    settings = resolved(config, given)
    from automl.pipeline.runs import start_run  # seconds, which a refusal of the settings does not need

    with conversation() as talk:
        run, metrics = start_run(settings, runs, name, sys.argv, talk)
    show_outcome(talk.console, run, metrics)
    if json:
        show_json({"run": str(run.path), **metrics.to_json()})


def seconds(option: str, text: str) -> float:
    """Reads `90s`, `30m` or `2h`; raises `InputError`, which names the option, on anything else."""
    from automl.core.errors import InputError

    found = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)([smh])", text)
    if found is None:
        raise InputError(f"`{option}` must be a number and s, m or h, such as 30m, but got {text!r}.")
    return float(found[1]) * _SECONDS[found[2]]
