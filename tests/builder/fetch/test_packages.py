import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from builder.concurrency.priority import Priority, current_priority
from builder.errors import CorruptPackage, PackageError, PackageUnavailable, UnsafePackage
from builder.fetch.packages import Packages
from builder.keys import package_key
from builder.records import ArchiveRecord
from registry.storage.filesystem import FilesystemStore
from tests.builder.counting import CountingMetrics
from tests.builder.records_for_tests import record, wheel

DATA = b"the archive's bytes"
RECORD = record("zlib", data=DATA)
Handler = (
    Callable[[httpx.Request], httpx.Response]
    | Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
)


class Channel:
    """A channel in this process that answers as told and counts requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def open_packages(
    channel: Handler, root: Path, metrics: CountingMetrics, *, parallel: int = 8
) -> AsyncIterator[Packages]:
    """Give a cache below ``root`` that downloads from a channel in this process."""
    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    async with httpx.AsyncClient(transport=httpx.MockTransport(channel)) as http:
        yield Packages(
            FilesystemStore(root / "store"),
            http,
            scratch,
            metrics,
            allowed_hosts={"channel.test", ""},
            wheel_hosts={"files.test"},
            max_size_bytes=1000,
            parallel=parallel,
            retry_seconds=0,
        )


def fetch(
    channel: Handler, root: Path, wanted: ArchiveRecord = RECORD, *, times: int = 1
) -> tuple[list[bytes], CountingMetrics]:
    """Return the archives that ``times`` callers at once get, and what was counted."""

    async def scenario() -> tuple[list[bytes], CountingMetrics]:
        metrics = CountingMetrics()
        async with open_packages(channel, root, metrics) as packages:
            paths = await asyncio.gather(*(packages.archive(wanted) for _ in range(times)))
        return [path.read_bytes() for path in paths], metrics

    return asyncio.run(scenario())


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


def test_an_archive_is_downloaded_once_however_many_ask(tmp_path: Path) -> None:
    channel = Channel(httpx.Response(200, content=DATA))
    archives, metrics = fetch(channel, tmp_path, times=20)
    assert archives == [DATA] * 20
    assert (channel.requests, metrics.downloads) == (1, 1)


def test_what_is_wanted_most_is_downloaded_first(tmp_path: Path) -> None:
    """A download that waits already comes sooner when somebody in more of a hurry wants it too."""
    records = [record(name, data=DATA + name.encode()) for name in "abcd"]
    asked: list[str] = []

    async def scenario() -> None:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            name = request.url.path.rpartition("/")[2][0]
            asked.append(name)
            is_asked.set()
            await may_answer.wait()
            return httpx.Response(200, content=DATA + name.encode())

        async def want(wanted: ArchiveRecord, level: int) -> None:
            current_priority.set(Priority(level))
            await packages.archive(wanted)

        async with open_packages(answer, tmp_path, CountingMetrics(), parallel=1) as packages:
            much = [asyncio.create_task(want(one, 2)) for one in records]
            await is_asked.wait()
            little = asyncio.create_task(want(records[3], 0))
            await asyncio.sleep(0)
            may_answer.set()
            await asyncio.gather(*much, little)

    asyncio.run(scenario())
    assert "d" in asked[:2]  # one of them, in whatever order they came, was under way


def test_an_archive_in_the_store_is_not_downloaded(tmp_path: Path) -> None:
    fetch(Channel(httpx.Response(200, content=DATA)), tmp_path)
    archives, metrics = fetch(Channel(httpx.ConnectError("down")), tmp_path)
    assert archives == [DATA]
    assert metrics.downloads == 0
    assert (tmp_path / "store" / package_key(RECORD.sha256)).read_bytes() == DATA


def test_a_channel_that_fails_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    channel = Channel(
        httpx.ReadError("reset"), httpx.Response(503), httpx.Response(200, content=DATA)
    )
    archives, _ = fetch(channel, tmp_path)
    assert archives == [DATA]
    assert channel.requests == 3


@pytest.mark.parametrize(
    ("answer", "error", "words", "requests"),
    [
        (httpx.Response(404), PackageUnavailable, "answered 404", 1),
        (httpx.Response(503), PackageUnavailable, "answered 503", 3),
        (httpx.ConnectError("refused"), PackageUnavailable, "does not answer", 3),
        (httpx.Response(200, content=b"x" * len(DATA)), CorruptPackage, "is damaged", 1),
        (httpx.Response(200, content=DATA + b"more"), CorruptPackage, "is damaged", 1),
        (httpx.Response(200, content=DATA[:5]), CorruptPackage, "is damaged", 1),
    ],
)
def test_what_cannot_be_had_is_an_error_in_one_sentence_and_leaves_nothing(
    tmp_path: Path,
    answer: httpx.Response | Exception,
    error: type[PackageError],
    words: str,
    requests: int,
) -> None:
    channel = Channel(answer)
    with pytest.raises(error, match=words) as raised:
        fetch(channel, tmp_path)
    assert RECORD.file_name in raised.value.message
    assert channel.requests == requests
    assert leftovers(tmp_path) == []


def test_a_host_that_is_no_channels_is_not_asked(tmp_path: Path) -> None:
    channel = Channel(httpx.Response(200, content=DATA))
    elsewhere = record("zlib", data=DATA, channel="http://169.254.169.254/latest")
    with pytest.raises(UnsafePackage, match="not the host of a channel"):
        fetch(channel, tmp_path, elsewhere)
    assert channel.requests == 0


def test_a_package_over_the_limit_is_refused_before_its_download(tmp_path: Path) -> None:
    channel = Channel(httpx.Response(200, content=DATA))
    with pytest.raises(UnsafePackage, match="up to 1000"):
        fetch(channel, tmp_path, record("big", size_bytes=1001))
    assert channel.requests == 0


def test_a_channel_directory_is_read_like_any_other(tmp_path: Path) -> None:
    local = record("zlib", data=DATA, channel=f"file://{tmp_path}/channel")
    path = tmp_path / "channel" / "linux-64" / local.file_name
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    archives, _ = fetch(Channel(httpx.ConnectError("unused")), tmp_path, local)
    assert archives == [DATA]


def test_work_is_done_again_with_an_archive_that_was_evicted_before_it_was_opened(
    tmp_path: Path,
) -> None:
    channel = Channel(httpx.Response(200, content=DATA))

    async def scenario() -> None:
        async with open_packages(channel, tmp_path, CountingMetrics()) as packages:
            tries = 0

            async def work(paths: list[Path]) -> bytes:
                nonlocal tries
                tries += 1
                if tries == 1:
                    await asyncio.to_thread(paths[0].unlink)
                return await asyncio.to_thread(paths[0].read_bytes)

            assert await packages.use([RECORD], work) == DATA
            assert (tries, channel.requests) == (2, 2)

            async def fail(paths: list[Path]) -> bytes:
                raise FileNotFoundError(2, "No such file or directory", "/another")

            with pytest.raises(FileNotFoundError):
                await packages.use([RECORD], fail)

    asyncio.run(scenario())


def test_a_wheel_is_kept_where_package_archives_are(tmp_path: Path) -> None:
    wanted = dataclasses.replace(wheel("demo", data=DATA), size_bytes=0)
    archives, _ = fetch(Channel(httpx.Response(200, content=DATA)), tmp_path, wanted)
    assert archives == [DATA]
    assert (tmp_path / "store" / package_key(wanted.sha256)).read_bytes() == DATA


def test_wheels_come_from_hosts_for_wheels_alone(tmp_path: Path) -> None:
    channel = Channel(httpx.Response(200, content=DATA))
    elsewhere = dataclasses.replace(
        wheel("demo", data=DATA), url="https://channel.test/demo-1.0-py3-none-any.whl"
    )
    with pytest.raises(UnsafePackage, match="not a host that this server takes wheels from"):
        fetch(channel, tmp_path, elsewhere)
    with pytest.raises(UnsafePackage, match="not the host of a channel"):
        fetch(channel, tmp_path, record("zlib", data=DATA, channel="https://files.test/main"))
    assert channel.requests == 0


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (httpx.Response(404), PackageUnavailable, "files.test answered 404 for it"),
        (httpx.Response(200, content=b"x"), CorruptPackage, "lock the environment again"),
        (httpx.Response(200, content=b"x" * 1001), CorruptPackage, "files.test sent 1001 bytes"),
    ],
)
def test_what_is_wrong_with_a_wheel_is_said_of_its_host(
    tmp_path: Path, answer: httpx.Response, error: type[PackageError], words: str
) -> None:
    wanted = dataclasses.replace(wheel("demo", data=DATA), size_bytes=0)
    with pytest.raises(error, match=words):
        fetch(Channel(answer), tmp_path, wanted)
    assert leftovers(tmp_path) == []
