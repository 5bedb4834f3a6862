"""Our own search, called as `automl search` calls it. The one place that knows how."""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from automl.pipeline.conversation import Conversation
from automl.pipeline.dense import dense_network
from automl.pipeline.promotion import candidates, promote
from automl.pipeline.searching import run_search
from automl.pipeline.subject import Subject
from automl.report.progress import Progress
from automl.store.run import create_run
from benchmarks.method import Compressed


def compress(subject: Subject, trials: int, seed: int) -> Compressed:
    """Searches within the subject's budget with the engine that `auto` chooses.

    The seconds are those of everything from the profile of the dense network to the promoted policy's network, the
    short distillation of the candidates included; what is returned has not been trained.
    """
    started = time.perf_counter()
    asked = replace(subject, config=replace(subject.config, trials=trials, seed=seed))
    silent = Console(quiet=True)
    with TemporaryDirectory() as folder, Progress(silent) as progress:
        talk = Conversation(silent, progress, lambda: False)
        run = create_run(Path(folder), "benchmark")
        dense = dense_network(asked)
        found = run_search(run, asked, dense, talk)
        best = promote(run, asked, dense, candidates(found), talk)
        return Compressed(dense.finalist(best), time.perf_counter() - started, best)
