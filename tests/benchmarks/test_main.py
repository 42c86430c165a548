import argparse
import json
import re
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, named, write_results
from benchmarks.figure import Figure

_DOCS = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def test_benchmarks_are_chosen_by_name_and_without_names_all_are() -> None:
    assert [benchmark.name for benchmark in named("start,herd")] == ["start", "herd"]
    assert [benchmark.name for benchmark in named("assembly,catalog")] == [
        "assembly",
        "catalog-pages",
        "catalog-listing",
        "catalog-build",
    ]
    assert named("") == BENCHMARKS
    with pytest.raises(argparse.ArgumentTypeError, match="'none' is none of first-pull"):
        named("start,none")


def test_what_was_not_measured_stays_in_the_results(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    first, second = BENCHMARKS[:2]
    write_results(path, {second: Figure(1.23456, 5, "old")})
    write_results(path, {first: Figure(1.0, 3, "new")})
    results = json.loads(path.read_text(encoding="utf-8"))
    assert list(results) == [first.name, second.name]
    assert results[second.name] == {
        "value": 1.235,
        "goal": "≤ 1.1",
        "unit": "ratio",
        "runs": 5,
        "note": "old",
    }


def test_every_benchmark_is_described() -> None:
    described = re.findall(r"^### `([a-z-]+)`", _DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert described == [benchmark.name for benchmark in BENCHMARKS]
