"""One worker whose evaluations sleep: `python -m benchmarks.worker_child URL STUDY TRIALS SECONDS leads|works`."""

import sys
import time

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.store.address import StudyAddress
from automl.store.patience import Patience
from automl.store.study import open_study
from automl.store.workers import present
from tests.contracts.problem import SIXTEEN, SeparableEvaluator, separable_problem


def main(url: str, name: str, trials: int, seconds: float, kind: str) -> None:
    """Works until the study has its trials."""
    known = SeparableEvaluator(blocks=SIXTEEN)

    def slowly(policy: CompressionPolicy) -> Evaluation:
        time.sleep(seconds)
        return known(policy)

    with open_study(StudyAddress.parse(url, name)) as study, present(study, leads=kind == "leads") as crew:
        search(
            separable_problem(slowly, SIXTEEN),
            study,
            find_engine("random"),
            trials=trials,
            seed=0,
            deadline=None,
            stop=lambda: False,
            on_trial=lambda _: None,
            crew=crew,
            patience=Patience(30.0),
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
