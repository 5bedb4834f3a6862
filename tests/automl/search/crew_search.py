"""One worker of a search that is killed on purpose: `python -m ... URL STUDY ENGINE TRIALS SECONDS KIND`.

KIND is `leads`, `works`, or one that gets SIGKILL: `dies-evaluating` in its second evaluation, `dies-asking` while its
sampler thinks, after three trials. Each says when it is ready, and begins when it reads a line: on a busy machine
processes take long to start.
"""

import os
import signal
import sys
import time

import optuna

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.search.engine import TrialReport
from automl.search.mirror import Mirror
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.store import workers
from automl.store.address import StudyAddress
from automl.store.patience import Patience
from automl.store.study import open_study
from tests.contracts.problem import SeparableEvaluator, separable_problem


def main(url: str, name: str, engine: str, trials: int, seconds: float, kind: str) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    known = SeparableEvaluator()
    workers.BEAT_S, workers.SILENCE_S = 0.2, 3.0
    if kind == "dies-asking":
        _die_asking()

    evaluations = 0

    def slowly(policy: CompressionPolicy) -> Evaluation:
        nonlocal evaluations
        evaluations += 1
        if kind == "dies-evaluating" and evaluations == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
        return known(policy)

    def show(report: TrialReport) -> None:
        pass

    with open_study(StudyAddress.parse(url, name)) as study, workers.present(study, leads=kind == "leads") as crew:
        search(
            separable_problem(slowly),
            study,
            find_engine(engine),
            trials=trials,
            seed=0,
            deadline=None,
            stop=lambda: False,
            on_trial=show,
            crew=crew,
            patience=Patience(60.0),
        )


def _die_asking() -> None:
    ask, left = Mirror.ask, 3

    def dying(self: Mirror) -> optuna.Trial:
        nonlocal left
        asked = ask(self)
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return asked

    Mirror.ask = dying  # type: ignore[method-assign]


if __name__ == "__main__":
    url, name, engine, trials, seconds, kind = sys.argv[1:]
    main(url, name, engine, int(trials), float(seconds), kind)
