from pathlib import Path

from benchmarks.cache import ResultCache


def test_a_result_is_measured_once_and_again_only_when_asked(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    counted: list[int] = []

    def measure() -> dict[str, int]:
        counted.append(1)
        return {"value": len(counted)}

    assert cache.get({"seed": 0}, measure, fresh=False) == {"value": 1}
    assert cache.get({"seed": 0}, measure, fresh=False) == {"value": 1}
    assert cache.get({"seed": 1}, measure, fresh=False) == {"value": 2}
    assert cache.get({"seed": 0}, measure, fresh=True) == {"value": 3}
    assert ResultCache(tmp_path).get({"seed": 0}, measure, fresh=False) == {"value": 3}
