"""Solving with the channel of real packages that `conformance.channel` makes."""

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import UnknownPackage, Unsatisfiable
from builder.image_name import EnvironmentPolicy, scan
from builder.lock import Lock, from_yaml, to_yaml
from builder.records import PackageRecord
from builder.solve import Solution, Solver
from builder.spec import Channel
from conformance.channel import HUNDRED, ensure
from conformance.channel.server import ChannelServer


@pytest.fixture(scope="module")
def main() -> Iterator[Channel]:
    with ChannelServer(ensure("full").channel) as server:
        yield Channel("main", server.url.rstrip("/"))


def solve(directory: Path, defaults: EnvironmentPolicy, name: str, tag: str = "latest") -> Solution:
    async def scenario() -> Solution:
        solver = Solver(directory)
        try:
            scanned = scan(f"env/{name}", tag, defaults)
            known = await solver.known_names(scanned.channels, defaults.platforms)
            return await solver.solve(scanned.resolve(known))
        finally:
            await solver.close()

    return asyncio.run(scenario())


def versions(records: tuple[PackageRecord, ...]) -> dict[str, str]:
    return {record.name: record.version for record in records}


def test_dotted_names_are_packages(tmp_path: Path, main: Channel) -> None:
    name = "ruamel.yaml.zope.interface.backports.tarfile.python.3.11"
    found = versions(solve(tmp_path, EnvironmentPolicy((main,)), name)["linux-64"])
    assert {"ruamel.yaml", "zope.interface", "backports.tarfile"} < set(found)
    assert found["python"].startswith("3.11.")


def test_a_date_gives_what_there_was_on_that_day(tmp_path: Path, main: Channel) -> None:
    day = datetime.datetime(2025, 6, 1, tzinfo=datetime.UTC)
    solution = solve(tmp_path, EnvironmentPolicy((main,)), "pandas.numpy.click", "2025-05-31")
    for record in solution["linux-64"]:
        assert record.timestamp_ms is not None
        assert record.timestamp_ms < day.timestamp() * 1000
    newest = solve(tmp_path, EnvironmentPolicy((main,)), "pandas.numpy.click")
    assert versions(newest["linux-64"])["pandas"] != versions(solution["linux-64"])["pandas"]


def test_an_environment_of_more_than_a_hundred_packages(tmp_path: Path, main: Channel) -> None:
    records = solve(tmp_path, EnvironmentPolicy((main,)), "/".join(HUNDRED))["linux-64"]
    assert len(records) > 100
    place = {record.name: position for position, record in enumerate(records)}
    for record in records:
        assert all(place[need] < place[record.name] for need in record.depends_names)
    lock = Lock({"linux-64": records}, (main,), ())
    assert from_yaml(to_yaml(lock)) == lock


def test_another_platform_is_solved_beside_the_first(tmp_path: Path, main: Channel) -> None:
    defaults = EnvironmentPolicy((main,), platforms=("linux-64", "linux-aarch64"))
    solution = solve(tmp_path, defaults, "pandas")
    assert list(solution) == ["linux-64", "linux-aarch64"]
    assert {r.subdir for r in solution["linux-aarch64"]} == {"linux-aarch64", "noarch"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("numpy.ge.99", "there is no numpy >=99 (main has "),
        ("gpulib", "add a tag such as ':cuda12.0'"),
        ("needs-new-numpy.needs-old-numpy", "needs numpy "),
        ("newglibc", "needs __glibc >="),
    ],
)
def test_what_does_not_fit_is_explained(
    tmp_path: Path, main: Channel, name: str, sentence: str
) -> None:
    with pytest.raises(Unsatisfiable) as caught:
        solve(tmp_path, EnvironmentPolicy((main,)), name)
    assert sentence in caught.value.message
    assert len(caught.value.message) <= 400


def test_a_cuda_tag_makes_gpu_packages_installable(tmp_path: Path, main: Channel) -> None:
    solution = solve(tmp_path, EnvironmentPolicy((main,)), "gpulib", "cuda12.4")
    assert "gpulib" in versions(solution["linux-64"])


def test_a_misspelt_package_is_recognised(tmp_path: Path, main: Channel) -> None:
    with pytest.raises(UnknownPackage, match=r"'nunpy' in main for linux-64; did you mean 'numpy'"):
        solve(tmp_path, EnvironmentPolicy((main,)), "nunpy")
