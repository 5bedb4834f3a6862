"""`automl worker`."""

from typing import Annotated

import typer

from automl.cli.options import RUNS, Data, Device, Json, Model, Runs


def worker(
    study: Annotated[str, typer.Option(help="Name of the study: that of the run that began it.")],
    storage: Annotated[
        str,
        typer.Option(
            envvar="AUTOML_STORAGE",
            help="The database of the search: postgresql://USER@HOST/DATABASE (password from PGPASSWORD or ~/.pgpass).",
        ),
    ],
    model: Model = None,
    data: Data = None,
    device: Device = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """Join a search from this machine: evaluate policies until it has its trials. Start as many as you like.

    The search is begun with `automl search --storage URL --name NAME`, which also fine-tunes and exports. Workers fetch
    settings, trained weights and tables from the database; only the data must be here.
    """
    from automl.cli.outcome import show_json
    from automl.cli.session import conversation
    from automl.store.address import StudyAddress
    from automl.store.password import to_environment

    address = StudyAddress.parse(to_environment(storage), study)
    from automl.pipeline.working import work  # seconds, which a refusal of the settings does not need

    with conversation() as talk:
        done = work(address, runs, model, data, device, talk)
        talk.say(f"The search has its trials; this worker completed {done} of them.")
    if json:
        show_json({"study": study, "completed": done})
