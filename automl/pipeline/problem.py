"""The search problem of a config, for those who bring a searcher of their own."""

from pathlib import Path

from automl.core.problem import Problem
from automl.evaluate.evaluator import ModelEvaluator
from automl.pipeline.conversation import narrated
from automl.pipeline.dense import dense_network
from automl.pipeline.held import held
from automl.pipeline.runs import train_baseline
from automl.pipeline.searching import pose
from automl.pipeline.sensitivity import measured_sensitivity
from automl.store.config import RunConfig


def open_problem(config: RunConfig, *, runs: Path = Path("runs"), verbose: bool = False) -> Problem:
    """Opens what `config` names: a trained network under a budget, its sensitivity table, and what measures policies.

    The baseline is found in the cache beside the runs, where `automl search` and `automl train` keep theirs, or else
    trained. No run is made. The problem's evaluator remembers its best policy, and measures one that is worse on fewer
    images; for evaluations that know nothing of each other, open the problem again.

    Args:
        config: `model`, `data` and `budget`; of the others those count that say how these are opened, how the baseline
            is trained and what may be chosen, such as `epochs`, `seed` and `bits`.
        runs: Folder of all runs; its cache is made where there is none.
        verbose: Whether to show on stderr what happens.

    Raises:
        InputError: If any setting, file, network or budget breaks its rule; nothing has been trained then.
    """
    with narrated(verbose=verbose) as conversation:
        subject = train_baseline(config, runs, conversation)
        dense = dense_network(subject)
        for note in dense.recovery.notes:
            conversation.say(note)
        table = measured_sensitivity(subject, dense, conversation)
    evaluator = ModelEvaluator(dense, subject.cost_model, held(subject, subject.splits.search))
    return pose(subject, table, evaluator)
