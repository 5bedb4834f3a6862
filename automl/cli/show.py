"""`automl show`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.options import RUNS, Json, Runs

if TYPE_CHECKING:
    from rich.console import Console

    from automl.cli.standing import Standing
    from automl.core.bits import BitWidths
    from automl.export.policy_file import PolicyFile
    from automl.store.run import Run


def show(
    name: Annotated[str, typer.Argument(metavar="RUN|policy.json", help="Name or path of a run, or a policy file.")],
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Show what a run has found: the table, the channels kept and the files; or what a policy file says."""
    if Path(name).is_file():
        _show_policy(Path(name), json=json)
    else:
        _show_run(runs, name, json=json)


def _show_policy(path: Path, *, json: bool) -> None:
    from automl.cli.listing import listing, show_line
    from automl.cli.outcome import show_json
    from automl.export.policy_file import read_policy

    content = read_policy(path)
    if json:
        show_json(_policy_json(content))
        return
    console = listing()
    shape = "x".join(str(size) for size in content.input_shape or ())
    facts = [f"for {content.model or 'a model that it does not name'}", shape and f"at {shape}"]
    facts.append("" if content.classes is None else f"with {content.classes} classes")
    show_line(console, f"Policy {content.policy.digest()[:12]} {' '.join(fact for fact in facts if fact)}")
    _show_channels(console, content.policy.channels, content.full_channels)
    _show_bits(console, content.policy.bits)


def _show_run(runs: Path, name: str, *, json: bool) -> None:
    from automl.cli.listing import listing
    from automl.cli.outcome import show_json
    from automl.cli.standing import standing
    from automl.export.policy_file import read_policy
    from automl.report.console import rendered, show_result
    from automl.report.rows import layers_table
    from automl.store.run import open_run

    run = open_run(runs, name)
    found = standing(run)
    result = read_policy(run.policy) if found.metrics is not None else None
    if json:
        policy = None if result is None else _policy_json(result)
        metrics = None if found.metrics is None else found.metrics.to_json()
        files = {key: str(path) for key, path in run.files().items()}
        show_json({**found.to_json(), "metrics": metrics, "policy": policy, "files": files})
        return
    console = listing()
    if found.metrics is not None and result is not None:
        show_result(console, found.metrics, run.name)
        _show_channels(console, result.policy.channels, result.full_channels)
        if found.metrics.layers:
            console.print(rendered(layers_table(found.metrics)))
    if found.state != "done":
        _show_unfinished(console, found, name)
    _show_files(console, run)


def _show_unfinished(console: "Console", found: "Standing", name: str) -> None:
    from automl.cli.listing import show_line
    from automl.report.quantity import humanise, percent

    show_line(console, f"{found.run.name}: {found.state}, {found.study.completed} of {found.asked} trials completed.")
    if found.study.best is not None:
        best = found.study.best.evaluation
        show_line(
            console,
            f"Best so far is trial {found.study.best.number}: {percent(best.accuracy)} before fine-tuning, "
            f"divergence {best.divergence:.4f}, {humanise(best.cost.macs)} MACs, "
            f"{humanise(best.cost.params)} parameters, {humanise(best.cost.size_bytes, 'B')}.",
        )
        _show_channels(console, best.policy.channels, {})
    if found.state == "stopped":
        show_line(console, f"Go on with: automl resume {name}")


def _show_channels(console: "Console", kept: Mapping[str, int], full: Mapping[str, int]) -> None:
    """Prints the channels kept of each group; `full` has those of the dense network, or nothing where unknown."""
    from automl.cli.listing import show_table
    from automl.report.console import kept_words
    from automl.report.quantity import percent

    if not full:
        rows = [(group, kept_words(count)) for group, count in sorted(kept.items())]
        show_table(console, ("Channel group", "Kept"), rows)
        return
    shares = [
        (group, kept_words(kept.get(group, count)), str(count), percent(kept.get(group, count) / count))
        for group, count in sorted(full.items())
    ]
    show_table(console, ("Channel group", "Kept", "Of", "Share"), shares)


def _show_bits(console: "Console", bits: Mapping[str, "BitWidths"]) -> None:
    from automl.cli.listing import show_table

    if bits:
        rows = [(name, str(each.weight), str(each.activation)) for name, each in bits.items()]
        show_table(console, ("Layer", "Weight bits", "Input bits"), rows)


def _show_files(console: "Console", run: "Run") -> None:
    from automl.cli.listing import show_line

    for path in run.files().values():
        show_line(console, str(path))


def _policy_json(content: "PolicyFile") -> dict[str, Any]:
    return {
        "model": content.model,
        "input_shape": None if content.input_shape is None else list(content.input_shape),
        "classes": content.classes,
        **content.policy.to_json(),
        "full_channels": dict(content.full_channels),
        "digest": content.policy.digest(),
    }
