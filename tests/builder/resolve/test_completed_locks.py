"""Locks of what other tools have chosen, with channels and a solver that are real."""

import asyncio
import dataclasses
import datetime
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import rattler
import yaml

from builder.build.interpreters import CompilingPythons
from builder.errors import ChannelUnavailable, InputError, LockError, UnknownPackage, Unsatisfiable
from builder.fetch.base_image import BaseImages
from builder.fetch.packages import Packages
from builder.image_name import EnvironmentPolicy
from builder.inputs import read_request
from builder.lock import Lock, to_explicit, to_yaml
from builder.ports import Progress, Store, Workers
from builder.records import WheelRecord
from builder.resolve.resolver import Resolver
from builder.solve import Solver
from tests.builder.counting import CountingMetrics
from tests.builder.fake_channel import FakeChannels, fake_channels, package

WISHES = "dependencies: [pandas, bio::samtools]"


@pytest.fixture
def channels() -> Iterator[FakeChannels]:
    with fake_channels() as served:
        served["main"].add(
            package("python", "3.12.1", "zlib"),
            package("python", "3.12.1", "zlib", subdir="linux-aarch64"),
            package("zlib", "1!1.3+g1"),
            package("zlib", "1!1.3+g1", subdir="linux-aarch64"),
            package("pandas", "2.0", "python", subdir="noarch", noarch="python"),
            package("only-here", "1.0"),
        )
        served["bio"].add(
            package("samtools", "1.2", "zlib"), package("samtools", "1.2", subdir="linux-aarch64")
        )
        yield served


class Server:
    """A resolver over these channels, for both platforms, without a base."""

    def __init__(self, channels: FakeChannels, directory: Path) -> None:
        self.channels = channels
        self.directory = directory
        self.defaults = EnvironmentPolicy(
            (channels["main"].channel, channels["bio"].channel),
            default_channels=("main",),
            platforms=("linux-64", "linux-aarch64"),
            wheel_hosts=("files.pythonhosted.org",),
        )

    def lock(self, data: str | bytes) -> Lock:
        """Return the lock that what is sent leads to."""
        sent = data.encode() if isinstance(data, str) else data
        wanted = read_request(sent, self.defaults, max_bytes=1_000_000)

        async def scenario() -> Lock:
            solver = Solver(self.directory / "repodata", max_retries=0)
            async with httpx.AsyncClient() as http:
                nothing = cast("Store", None)
                bases = BaseImages(nothing, http, self.directory)
                compilers = CompilingPythons(
                    solver,
                    cast("Packages", None),
                    cast("Workers", None),
                    self.directory / "compilers",
                    "linux-64",
                    "none",
                )
                resolver = Resolver(solver, bases, compilers, CountingMetrics())
                try:
                    return await resolver.settle(wanted, self.defaults, _unheard)
                finally:
                    await solver.close()

        return asyncio.run(scenario())


def _unheard(_: Progress) -> None:
    pass


@pytest.fixture
def server(channels: FakeChannels, tmp_path: Path) -> Server:
    return Server(channels, tmp_path)


@pytest.fixture
def solved(server: Server) -> Lock:
    return server.lock(WISHES)


def foreign(lock: Lock, edit: Callable[[dict[str, Any]], object] = lambda _: None) -> str:
    """Return a lock as conda-lock writes it, after ``edit`` changed each of its packages."""
    content = yaml.safe_load(to_yaml(lock))
    del content["metadata"]["custom_metadata"]
    for entry in content["package"]:
        edit(entry)
    return json.dumps(content)


def rattlers(lock: Lock, channels: FakeChannels, directory: Path) -> str:
    """Return the pixi.lock that rattler writes for the same packages."""

    async def scenario() -> None:
        urls = [channels[name].channel.url for name in ("main", "bio")]
        platforms = [rattler.LockPlatform(name) for name in lock.platforms]
        file = rattler.LockFile(platforms)
        file.set_channels("default", [rattler.LockChannel(url) for url in urls])
        gateway = rattler.Gateway(cache_dir=directory / "rattler")
        for platform in platforms:
            wanted = {record.url for record in lock.platforms[platform.name]}  # type: ignore[index]
            found = await gateway.query(
                [rattler.Channel(url) for url in urls],
                [rattler.Subdir(platform.name), rattler.Subdir("noarch")],
                [rattler.MatchSpec(name) for name in ("python", "pandas", "zlib", "samtools")],
                recursive=False,
            )
            for record in (record for records in found for record in records):
                if record.url in wanted:
                    file.add_conda_package("default", platform, record)
        file.to_path(directory / "pixi.lock")
        await asyncio.sleep(0.1)  # rattler's threads come to rest, as in Solver.close

    asyncio.run(scenario())
    return (directory / "pixi.lock").read_text()


def test_the_same_packages_have_one_key_in_whatever_format_they_are_sent(
    server: Server, solved: Lock, channels: FakeChannels, tmp_path: Path
) -> None:
    assert len(solved.platforms) == 2
    assert server.lock(foreign(solved)) == solved
    assert server.lock(to_yaml(solved)) == solved
    assert server.lock(rattlers(solved, channels, tmp_path)) == solved
    one = dataclasses.replace(
        solved,
        platforms={"linux-64": solved.platforms["linux-64"]},
        bytecode={"linux-64": "3.12.1"},
    )
    assert server.lock(to_explicit(one, "linux-64")).key == one.key
    without_checksums = re.sub(r"#\w{32}", "", to_explicit(one, "linux-64"))
    assert server.lock(without_checksums).key == one.key


def test_another_hash_than_the_channels_is_refused_with_the_package(
    server: Server, solved: Lock
) -> None:
    wrong = {"sha256": "f" * 64, "md5": "0" * 32}

    def edit(entry: dict[str, Any]) -> None:
        if entry["name"] == "zlib":
            entry["hash"] = wrong

    with pytest.raises(
        InputError, match=r"zlib-1!1\.3\+g1-0\.conda cannot be used: its sha256 is f"
    ):
        server.lock(foreign(solved, edit))


def test_a_package_that_its_channel_forgot_is_taken_as_the_file_says(
    server: Server, solved: Lock, channels: FakeChannels
) -> None:
    text = foreign(solved)
    listed = to_explicit(solved, "linux-64")
    channels["main"].packages = [p for p in channels["main"].packages if p["name"] != "pandas"]
    later = Server(channels, server.directory / "later")
    found = {record.name: record for record in later.lock(text).platforms["linux-64"]}
    known = {record.name: record for record in solved.platforms["linux-64"]}
    assert found["pandas"].sha256 == known["pandas"].sha256
    assert found["pandas"].noarch == "python"
    assert found["zlib"] == known["zlib"]
    with pytest.raises(InputError, match="does not list it, and the file does not give") as caught:
        later.lock(listed)
    assert caught.value.line


def test_a_list_may_name_the_old_format_beside_the_new_one(server: Server) -> None:
    served = server.channels["main"]
    served.add(package("both", "1.0"))
    served.old_format.append(package("both", "1.0"))
    for ending in (".tar.bz2", ".conda"):
        address = f"{served.channel.url}/linux-64/both-1.0-0{ending}"
        (record,) = server.lock(f"@EXPLICIT\n{address}\n").platforms["linux-64"]
        assert record.url == address
    with pytest.raises(InputError, match="does not list it"):
        server.lock(f"@EXPLICIT\n{served.channel.url}/linux-64/both-1.0-1.tar.bz2\n")


def test_wheels_of_a_pixi_lock_are_in_the_lock(
    server: Server, solved: Lock, channels: FakeChannels, tmp_path: Path
) -> None:
    url = "https://files.pythonhosted.org/packages/d9/5a/six-1.16.0-py2.py3-none-any.whl"
    text = rattlers(solved, channels, tmp_path)
    text = text.replace("      linux-64:\n", f"      linux-64:\n      - pypi: {url}\n")
    text += f"- pypi: {url}\n  name: six\n  version: 1.16.0\n  sha256: {'c' * 64}\n"
    lock = server.lock(text)
    assert lock.wheels == {"linux-64": (WheelRecord("six", "1.16.0", url, "c" * 64),)}


def test_a_channel_that_is_down_is_said_to_be(channels: FakeChannels, tmp_path: Path) -> None:
    server = Server(channels, tmp_path)
    channels["main"].status = 503
    url = f"{channels['main'].channel.url}/linux-64/zlib-1.3-0.conda"
    with pytest.raises(ChannelUnavailable):
        server.lock(f"@EXPLICIT\n{url}\n")


def test_a_package_without_checksums_cannot_be_locked(server: Server) -> None:
    channel = server.channels["main"].add(package("old", "1.0", sha256=None))
    with pytest.raises(LockError, match="no sha256 for old"):
        server.lock(f"@EXPLICIT\n{channel.url}/linux-64/old-1.0-0.conda\n")


def test_an_environment_that_exists_for_one_platform_only_says_so(server: Server) -> None:
    lock = server.lock("dependencies: [only-here]")
    assert list(lock.platforms) == ["linux-64"]
    assert "linux-aarch64" in lock.left_out["linux-aarch64"]
    with pytest.raises(UnknownPackage, match="'only-here' in main for linux-aarch64"):
        server.lock('{"specs": ["only-here"], "platforms": ["linux-64", "linux-aarch64"]}')


def test_a_platform_that_must_be_possible_is_named_where_it_is_not(server: Server) -> None:
    server.channels["main"].add(package("both", "2.0"))
    server.channels["main"].add(package("both", "1.0", subdir="linux-aarch64"))
    with pytest.raises(Unsatisfiable, match="for linux-aarch64, no set of versions fits"):
        server.lock('{"specs": ["both=2"], "platforms": ["linux-64", "linux-aarch64"]}')


def test_a_date_and_variables_are_honoured(server: Server) -> None:
    day = datetime.date(2023, 11, 14)
    lock = server.lock(f'{{"specs": ["zlib"], "until": "{day}", "variables": {{"A": "1"}}}}')
    assert lock.variables == {"A": "1"}
    with pytest.raises(Unsatisfiable, match="published"):
        server.lock('{"specs": ["zlib"], "until": "2023-11-13"}')
