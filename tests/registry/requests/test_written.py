import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from builder.errors import WorkerLost
from registry.requests.written import WrittenSpecifications, write

pytestmark = pytest.mark.anyio

Result = TypeVar("Result")

NOTHING: dict[str, Any] = {
    "channels": [],
    "dependencies": [],
    "description": "",
    "prefix": None,
    "variables": None,
}
MANY = b"dependencies: [" + b"numpy," * 1000 + b"]"


class Inline:
    """Runs what it is given at once, unless it is lost."""

    def __init__(self) -> None:
        self.runs = 0
        self.is_lost = False

    async def run(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        self.runs += 1
        if self.is_lost:
            raise WorkerLost
        return function(*args, **kwargs)


def giving(data: bytes) -> Callable[[], Awaitable[bytes]]:
    async def give() -> bytes:
        return data

    return give


def written(data: bytes) -> Any:
    return json.loads(write(data, 10_000))


def test_an_environment_yml_is_told_as_it_is_written() -> None:
    text = b"""
name: forecast
channels: [conda-forge, https://conda.example/main]
dependencies:
  - python=3.10
  - sel(linux): gcc
  - pip: [flask, "numpy>=2"]
description: what it is for
prefix: /opt/forecast
variables: {A: 1.10, B: 7, C: yes}
"""
    assert written(text) == {
        "channels": ["conda-forge", "https://conda.example/main"],
        "dependencies": ["python=3.10", "gcc", {"pip": ["flask", "numpy>=2"]}],
        "description": "what it is for",
        "prefix": "/opt/forecast",
        "variables": {"A": "1.10", "B": 7, "C": "yes"},
    }


def test_no_variables_are_told_as_they_are_written() -> None:
    assert written(b"dependencies: []\nvariables: {}")["variables"] == {}
    assert written(b"dependencies: []\nvariables: []")["variables"] is None
    assert written(b"dependencies: []")["variables"] is None


def test_a_request_of_json_is_told_as_an_environment_yml() -> None:
    found = written(b'{"specs": ["numpy >=2"], "pip": ["flask"], "channels": ["main"]}')
    assert found["dependencies"] == ["numpy >=2", {"pip": ["flask"]}]
    assert found["channels"] == ["main"]


def test_a_file_of_conda_lock_is_told_whole() -> None:
    text = b"version: 1\nmetadata: {channels: [], when: 2026-11-30}\npackage: [{name: numpy}]\n"
    found = written(text)
    assert found.keys() == {"description", "lockfile"}
    assert found["lockfile"]["package"] == [{"name": "numpy"}]
    assert found["lockfile"]["metadata"]["when"] == "2026-11-30"


def test_an_exported_list_is_what_was_asked_for() -> None:
    assert written(b"# platform: linux-64\nnumpy=2.0=py312_0\n")["dependencies"] == [
        "numpy=2.0=py312_0"
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b"dependencies: numpy",
        b"dependencies: {a: b}",
        b"dependencies: [[a]]",
        b"channels: 3\ndependencies: [",
        b"a: &a [x]\nb: *a",
        b"metadata: .nan\npackage: []",
        b"@EXPLICIT\nhttps://conda.example/main/linux-64/a-1-0.conda",
        b"variables: [1]\n" + b"#" * 20_000,
        b"[" * 5000,
    ],
)
def test_of_what_cannot_be_read_nothing_is_asked_for_by_name(data: bytes) -> None:
    found = written(data)
    assert found.keys() == NOTHING.keys()
    assert all(isinstance(one, str) for one in found["dependencies"])


async def test_what_is_read_is_remembered_and_large_files_are_read_elsewhere() -> None:
    workers = Inline()
    specifications = WrittenSpecifications(workers, 100_000)
    found = await specifications.of("a", giving(b"dependencies: [numpy]"))
    assert json.loads(found)["dependencies"] == ["numpy"]
    assert await specifications.of("a", giving(b"dependencies: []")) == found
    assert workers.runs == 0
    large = await specifications.of("b", giving(MANY))
    assert len(json.loads(large)["dependencies"]) == 1000
    assert await specifications.of("b", giving(b"")) == large
    assert workers.runs == 1
    await specifications.close()


async def test_a_file_is_read_again_after_a_process_was_lost() -> None:
    workers = Inline()
    workers.is_lost = True
    specifications = WrittenSpecifications(workers, 100_000)
    assert json.loads(await specifications.of("b", giving(MANY))) == NOTHING
    workers.is_lost = False
    assert await specifications.of("b", giving(MANY)) == write(MANY, 100_000)
    await specifications.close()
