import asyncio
import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import rattler

from conformance.channel.index import index_channel, write_repodata
from conformance.channel.server import ChannelServer
from conformance.channel.writer import Entry, Package, package_bytes, write_package

NEW_YEAR_2024_MS = 1_704_067_200_000
PACKAGES = [
    Package("tiny", "1.0", entries=[Entry("share/tiny", b"1")]),
    Package("tiny", "2.0", timestamp_ms=NEW_YEAR_2024_MS, entries=[Entry("share/tiny", b"2")]),
    Package("user", "1.0", depends=("tiny",), extension=".tar.bz2"),
    Package("arch", "1.0", subdir="linux-64", noarch=None, depends=("tiny >=1",)),
]


def make(folder: Path) -> Path:
    for package in PACKAGES:
        write_package(package, folder)
    index_channel(folder)
    return folder


def solve(channel: Path, spec: str, **arguments: Any) -> dict[str, str]:
    async def run() -> list[Any]:
        try:
            return await rattler.solve(
                [rattler.Channel(channel.as_uri())],
                [rattler.MatchSpec(spec)],
                platforms=["linux-64", "noarch"],
                **arguments,
            )
        finally:
            await asyncio.sleep(0.1)  # rattler's threads; see conformance.channel.index

    return {record.name.normalized: str(record.version) for record in asyncio.run(run())}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("channel"))


def test_two_channels_of_the_same_packages_are_the_same_files(
    channel: Path, tmp_path: Path
) -> None:
    other = make(tmp_path / "other")
    files = {p.relative_to(channel): p.read_bytes() for p in channel.rglob("*") if p.is_file()}
    assert files == {p.relative_to(other): p.read_bytes() for p in other.rglob("*") if p.is_file()}


def test_no_record_says_when_it_was_indexed(channel: Path) -> None:
    repodata = json.loads((channel / "noarch/repodata.json").read_bytes())
    records = repodata["packages.conda"].values()
    assert len(records) == 2
    assert not any("indexed_timestamp" in record for record in records)


def test_a_date_hides_what_is_newer(channel: Path) -> None:
    new_year_2023 = datetime.datetime(2023, 1, 1, tzinfo=datetime.UTC)
    assert solve(channel, "arch") == {"arch": "1.0", "tiny": "2.0"}
    assert solve(channel, "arch", exclude_newer=new_year_2023) == {"arch": "1.0", "tiny": "1.0"}


def test_every_shard_has_the_hash_that_its_name_says(channel: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    shutil.copytree(channel, sharded)
    # What is left can be solved with the shards only.
    for path in sharded.glob("*/repodata.json*"):
        path.unlink()
    with ChannelServer(sharded) as server:
        assert solve_url(server.url, tmp_path) == {"user": "1.0", "tiny": "2.0"}


def solve_url(url: str, cache: Path) -> dict[str, str]:
    async def run() -> list[Any]:
        gateway = rattler.Gateway(cache_dir=cache / "cache")
        try:
            return await rattler.solve(
                [rattler.Channel(url)],
                [rattler.MatchSpec("user")],
                platforms=["linux-64", "noarch"],
                gateway=gateway,
            )
        finally:
            await asyncio.sleep(0.1)

    return {record.name.normalized: str(record.version) for record in asyncio.run(run())}


def test_plain_repodata_needs_no_archives(tmp_path: Path) -> None:
    write_repodata(tmp_path, [(package, package_bytes(package)) for package in PACKAGES])
    assert solve(tmp_path, "user") == {"user": "1.0", "tiny": "2.0"}
