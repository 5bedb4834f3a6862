"""A search whose evaluations take a while, to be killed: `python -m ... STUDY_DB TRIALS SECONDS`."""

import sys
import time
from pathlib import Path

from automl.core.evaluation import Evaluation
from automl.core.policy import CompressionPolicy
from automl.search.registry import find_engine
from automl.search.runner import search
from automl.store.address import StudyAddress
from automl.store.study import open_study
from tests.contracts.problem import SeparableEvaluator, separable_problem


def main(path: Path, trials: int, seconds: float) -> None:
    known = SeparableEvaluator()

    def slowly(policy: CompressionPolicy) -> Evaluation:
        sys.stdout.write(f"evaluating {policy.digest()}\n")
        sys.stdout.flush()
        time.sleep(seconds)
        return known(policy)

    with open_study(StudyAddress.of_file(path)) as study:
        search(
            separable_problem(slowly),
            study,
            find_engine("random"),
            trials=trials,
            seed=0,
            deadline=None,
            stop=lambda: False,
            on_trial=lambda _: None,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
