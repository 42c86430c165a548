import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import httpx

from builder.build.contents_cache import ContentsCache
from builder.fetch.packages import Packages
from builder.install.wheel.contents import WheelContents
from builder.keys import contents_key
from registry.storage.filesystem import FilesystemStore
from tests.builder.counting import CountingMetrics
from tests.tiny_wheels import EVERYTHING, wheel_bytes, wheel_record

P = ParamSpec("P")
Result = TypeVar("Result")
RECORD = wheel_record(EVERYTHING)


class Threads:
    """Runs work beside the loop, as processes do for the server."""

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        return await asyncio.to_thread(function, *args, **kwargs)


def contents_of_wheel(root: Path, status: int = 200) -> WheelContents:
    """Return what a new cache over the store in ``root`` says of the wheel."""

    async def scenario() -> WheelContents:
        answer = httpx.MockTransport(
            lambda _: httpx.Response(status, content=wheel_bytes(EVERYTHING))
        )
        async with httpx.AsyncClient(transport=answer) as http:
            store = FilesystemStore(root / "store")
            packages = Packages(
                store,
                http,
                root,
                CountingMetrics(),
                allowed_hosts=(),
                wheel_hosts={"files.test"},
                max_size_bytes=10**6,
            )
            cache = ContentsCache(store, packages, Threads())
            try:
                one, other = await asyncio.gather(cache.get_wheel(RECORD), cache.get_wheel(RECORD))
            finally:
                await cache.close()
            assert one == other
            return one

    return asyncio.run(scenario())


def test_a_wheel_seen_once_is_not_downloaded_to_be_planned_again(tmp_path: Path) -> None:
    first = contents_of_wheel(tmp_path)
    for archive in (tmp_path / "store" / "packages").rglob("*"):
        if archive.is_file():
            archive.unlink()
    assert contents_of_wheel(tmp_path, status=500) == first
    assert first.license == "MIT"


def test_contents_of_an_older_format_are_read_again(tmp_path: Path) -> None:
    first = contents_of_wheel(tmp_path)
    path = tmp_path / "store" / contents_key(RECORD.sha256)
    path.chmod(0o644)
    path.write_bytes(b'{"format": 1, "label": "of a conda package"}')
    assert contents_of_wheel(tmp_path) == first


def test_contents_are_known_when_all_of_them_are_in_the_store(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = FilesystemStore(tmp_path / "store")
        async with httpx.AsyncClient() as http:
            packages = Packages(
                store,
                http,
                tmp_path,
                CountingMetrics(),
                allowed_hosts=(),
                wheel_hosts=(),
                max_size_bytes=1,
            )
            cache = ContentsCache(store, packages, Threads())
            assert await cache.has([])
            assert not await cache.has([RECORD])
            await store.write(contents_key(RECORD.sha256), b"{}")
            assert await cache.has([RECORD])
        store.close()

    asyncio.run(scenario())
