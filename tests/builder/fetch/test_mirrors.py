"""Archives of channels that have mirrors."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from builder.errors import CorruptPackage, PackageUnavailable, UnsafePackage
from builder.fetch.channel_credentials import read_credentials
from builder.fetch.packages import Packages
from builder.network.mirrors import Mirrors
from builder.records import PackageRecord
from registry.storage.filesystem import FilesystemStore
from tests.builder.counting import CountingMetrics
from tests.builder.records_for_tests import record

DATA = b"the archive's bytes"
FORGE = "https://conda.anaconda.org/conda-forge"
MIRROR = "https://mirror.test/forge"
ZLIB = record("zlib", data=DATA, channel=FORGE)


def fetch(
    wanted: PackageRecord,
    root: Path,
    answer: Callable[[httpx.Request], httpx.Response],
    mirror: str = MIRROR,
    secrets: object = None,
) -> bytes:
    """Return the archive that comes from a mirror."""
    file = root / "credentials.json"
    file.write_text(json.dumps(secrets or {}))

    async def scenario() -> bytes:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            packages = Packages(
                FilesystemStore(root / "store"),
                http,
                root,
                CountingMetrics(),
                allowed_hosts={httpx.URL(mirror).netloc.decode()},
                wheel_hosts=(),
                max_size_bytes=1000,
                credentials=read_credentials(file),
                mirrors=Mirrors(((FORGE, mirror),)),
                retry_seconds=0,
            )
            return (await packages.archive(wanted)).read_bytes()

    return asyncio.run(scenario())


def test_an_archive_comes_from_the_mirror_with_what_the_mirrors_host_asks_for(
    tmp_path: Path,
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=DATA)

    secrets = {
        "mirror.test": {"BearerToken": "of-the-mirror"},
        "conda.anaconda.org": {"BearerToken": "of-the-channel"},
    }

    assert fetch(ZLIB, tmp_path, answer, secrets=secrets) == DATA
    assert [str(request.url) for request in asked] == [f"{MIRROR}/linux-64/{ZLIB.file_name}"]
    assert asked[0].headers["authorization"] == "Bearer of-the-mirror"


def test_a_directory_may_be_the_mirror_of_a_channel_on_a_server(tmp_path: Path) -> None:
    place = tmp_path / "mirror" / "linux-64"
    place.mkdir(parents=True)
    (place / ZLIB.file_name).write_bytes(DATA)

    def refuse(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    assert fetch(ZLIB, tmp_path, refuse, place.parent.as_uri()) == DATA


def test_errors_name_the_channel_and_the_mirror(tmp_path: Path) -> None:
    both = rf"{FORGE} \(from {MIRROR}\)"

    with pytest.raises(PackageUnavailable, match=f"{both} answered 404 for it"):
        fetch(ZLIB, tmp_path, lambda _: httpx.Response(404))
    with pytest.raises(CorruptPackage, match=f"{both} sent 5 bytes that do not have the sha256"):
        fetch(ZLIB, tmp_path, lambda _: httpx.Response(200, content=b"wrong"))


def test_what_lies_elsewhere_is_fetched_from_there(tmp_path: Path) -> None:
    """An index names it, and a mirror has what lies in the channel."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(404)

    elsewhere = replace(ZLIB, url=f"https://cdn.test/x/linux-64/{ZLIB.file_name}", channel=FORGE)

    with pytest.raises(PackageUnavailable, match=f": {FORGE} answered 404"):
        fetch(elsewhere, tmp_path, answer)
    assert asked == [elsewhere.url]


@pytest.mark.parametrize("url", [f"{FORGE}-not/linux-64/", "file:///srv/other/linux-64/"])
def test_the_host_of_a_channel_that_has_a_mirror_is_not_asked(tmp_path: Path, url: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    with pytest.raises(UnsafePackage, match="is not the host of a channel"):
        fetch(replace(ZLIB, url=f"{url}{ZLIB.file_name}"), tmp_path, refuse)


def test_the_index_of_a_server_leads_to_no_file_whatever_locks_call_the_channel(
    tmp_path: Path,
) -> None:
    """Known as a directory, and fetched from a server."""
    home = "file:///srv/channel"
    leading = replace(ZLIB, url=f"file:///etc/linux-64/{ZLIB.file_name}", channel=home)

    async def scenario() -> None:
        async with httpx.AsyncClient() as http:
            packages = Packages(
                FilesystemStore(tmp_path / "store"),
                http,
                tmp_path,
                CountingMetrics(),
                allowed_hosts={"mirror.test", ""},
                wheel_hosts=(),
                max_size_bytes=1000,
                mirrors=Mirrors(((home, MIRROR),)),
            )
            await packages.archive(leading)

    with pytest.raises(UnsafePackage, match="lies on 'a file'"):
        asyncio.run(scenario())
