from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.core.errors import RunError
from automl.store.answers import ImageAnswers, read_answers, write_answers


def classes(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, dtype=np.int32)


@pytest.fixture
def answers() -> ImageAnswers:
    networks = {"baseline": classes(0, 1, 2, 1), "uniform": classes(0, 0, 2, 2), "best": classes(0, 1, 1, 1)}
    return ImageAnswers("abc", classes(0, 1, 2, 2), networks)


def test_answers_survive_the_way_through_their_file(tmp_path: Path, answers: ImageAnswers) -> None:
    write_answers(tmp_path / "answers.safetensors", answers)
    found = read_answers(tmp_path / "answers.safetensors")
    assert found.test == "abc"
    assert found.labels.tolist() == [0, 1, 2, 2]
    assert {name: each.tolist() for name, each in found.networks.items()} == {
        "baseline": [0, 1, 2, 1], "uniform": [0, 0, 2, 2], "best": [0, 1, 1, 1],
    }  # fmt: skip


def test_an_answer_is_right_where_it_is_the_label(answers: ImageAnswers) -> None:
    assert answers.right("baseline").tolist() == [True, True, True, False]
    assert answers.right("uniform").tolist() == [True, False, True, True]


def test_without_labels_an_answer_is_right_where_the_dense_network_gives_it(answers: ImageAnswers) -> None:
    unlabelled = replace(answers, labels=classes(-1, -1, -1, -1))
    assert unlabelled.right("baseline").all()
    assert unlabelled.right("best").tolist() == [True, True, False, True]


def test_the_exported_network_is_the_last_one_that_there_is(answers: ImageAnswers) -> None:
    assert answers.final == "best"
    tuned = replace(answers, networks={**answers.networks, "finetuned": classes(0, 1, 2, 2)})
    assert tuned.final == "finetuned"
    assert replace(tuned, networks={**tuned.networks, "quantized": classes(0, 1, 2, 2)}).final == "quantized"


def test_a_missing_damaged_or_foreign_file_is_refused_with_the_way_out(tmp_path: Path, answers: ImageAnswers) -> None:
    path = tmp_path / "answers.safetensors"
    for content in (None, b"", b"damaged" * 10):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RunError, match="automl resume"):
            read_answers(path)
    write_answers(path, replace(answers, networks={"baseline": classes(1, 2)}))
    with pytest.raises(RunError, match="must be whole"):
        read_answers(path)
    write_answers(path, replace(answers, networks={"best": classes(0, 1, 1, 1)}))
    with pytest.raises(RunError, match="must be whole"):
        read_answers(path)
