import pytest

from automl.core.graph import ModelGraph
from benchmarks.solver import Case, line, rows, solved
from tests.automl.search.choices import chain, joint_chain


@pytest.mark.parametrize(
    ("bits", "graph"), [(None, chain(0, groups=6, levels=32).graph), ("4,8", joint_chain(0).graph)]
)
def test_a_table_is_decoded_within_its_certificate(bits: str | None, graph: ModelGraph) -> None:
    found = solved(Case("net", "0.4flops", bits), graph, seed=0)
    assert found.optimal
    assert 0 <= found.to_optimum <= found.to_bound
    assert found.to_bound == pytest.approx(found.to_optimum, abs=1e-6)
    assert found.decode_ms > 0


def test_a_row_says_whether_its_target_holds() -> None:
    case = Case("net", "0.5flops", None)
    found = solved(case, chain(0, groups=6, levels=32).graph, seed=0)
    decode, proof = rows(case, [found])
    assert decode.held is (found.decode_ms < 50)
    assert proof.held is (found.certify_s < 5)
    assert rows(Case("net", "0.3flops,0.3params", None), [found])[0].held is None
    assert rows(Case("net", "0.02bops", "4,8"), [found])[0].held is (found.decode_ms < 60)
    assert line(case, [found])[-1] == "1 of 1"
