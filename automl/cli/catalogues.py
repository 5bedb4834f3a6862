"""`automl models`, `automl datasets` and `automl engines`."""

from automl.cli.options import Json


def models(json: Json = False) -> None:
    """List the networks that the tests cover; any other of timm or torchvision may be named too."""
    from dataclasses import asdict

    from automl.cli.listing import listing, show_line, show_table
    from automl.cli.outcome import show_json
    from automl.models.registry import list_models

    found = list_models()
    if json:
        show_json([asdict(info) for info in found])
        return
    console = listing()
    show_table(console, ("Model", "From", "What it is"), [(info.name, info.source, info.note) for info in found])
    show_line(
        console, "Any other: timm:NAME, torchvision:NAME, or pkg.mod:factory for your own. See `automl describe`."
    )


def datasets(json: Json = False) -> None:
    """List the data sets that can be opened."""
    from dataclasses import asdict

    from automl.cli.listing import listing, show_table
    from automl.cli.outcome import show_json
    from automl.data.registry import DATASETS

    if json:
        show_json([asdict(info) for info in DATASETS])
        return
    rows = [(info.name, "-" if info.size is None else f"{info.size} px", info.description) for info in DATASETS]
    show_table(listing(), ("Data", "Size", "What it is"), rows)


def engines(json: Json = False) -> None:
    """List the search engines."""
    from automl.cli.listing import listing, show_table
    from automl.cli.outcome import show_json
    from automl.search.registry import AGENTS, ENGINES

    rows = [*((name, entry.description) for name, entry in ENGINES.items()), *AGENTS.items()]
    if json:
        show_json([{"name": name, "description": description} for name, description in rows])
        return
    show_table(listing(), ("Engine", "How it searches"), rows)
