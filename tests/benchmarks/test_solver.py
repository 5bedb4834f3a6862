import pytest

from benchmarks.solver import line, rows, solved
from tests.automl.search.choices import chain


def test_a_table_is_decoded_within_its_certificate() -> None:
    found = solved(chain(0, groups=6, levels=32).graph, "0.4flops", seed=0)
    assert found.optimal
    assert 0 <= found.to_optimum <= found.to_bound
    assert found.to_bound == pytest.approx(found.to_optimum, abs=1e-6)
    assert found.decode_ms > 0


def test_a_row_says_whether_its_target_holds() -> None:
    found = solved(chain(0, groups=6, levels=32).graph, "0.5flops", seed=0)
    decode, proof = rows("net", "0.5flops", [found])
    assert decode.held is (found.decode_ms < 50)
    assert proof.held is (found.certify_s < 5)
    assert rows("net", "0.3flops,0.3params", [found])[0].held is None
    assert line("net", "0.5flops", [found])[-1] == "1 of 1"
