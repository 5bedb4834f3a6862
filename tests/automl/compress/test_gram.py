from collections.abc import Iterator

import pytest
import torch

from automl.compress.gram import gram


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def test_it_is_the_product_of_the_transposed_matrix_with_itself() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64)
    assert torch.equal(gram(rows), torch.tensor([[35.0, 44.0], [44.0, 56.0]], dtype=torch.float64))


def test_a_transposed_or_strided_matrix_is_taken_as_it_is_meant() -> None:
    values = torch.randn(6, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(gram(values.T), values @ values.T)
    torch.testing.assert_close(gram(values.T[::2]), values[:, ::2] @ values[:, ::2].T)
