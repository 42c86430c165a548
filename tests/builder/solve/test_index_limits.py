"""What channels send that is too much, and who notices: whoever asked for it, and nobody else."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # has no types
import pytest
import zstandard

from builder.errors import ChannelUnavailable
from builder.fetch.channel_credentials import ChannelCredentials
from builder.network.index_limits import IndexLimits, used_bytes
from builder.solve import Solution, Solver
from builder.solve.cache import hold_cache, sweep_cache
from builder.solve.child import Setup
from builder.solve.process import IndexProcesses
from builder.spec import Channel, EnvironmentSpec, Requirement, VirtualPackage
from tests.builder.fake_channel import FakeChannels, fake_channels, package
from tests.builder.hostile_channel import (
    MIB,
    Files,
    bz2_bomb,
    drip,
    endless,
    hostile_channel,
    long_name,
    nested,
    shard,
    shards,
    tiny_records,
    zstd_bomb,
)
from tests.builder.solve.hostile_question import start_threads

LIMITS = IndexLimits(
    file_bytes=16 * MIB, cache_bytes=64 * MIB, memory_bytes=256 * MIB, answer_bytes=MIB
)
ROOMY = IndexLimits(
    file_bytes=256 * MIB, cache_bytes=512 * MIB, memory_bytes=256 * MIB, answer_bytes=MIB
)
TOO_LARGE = "an index of it is larger than PULLFORGE_MAX_INDEX_BYTES allows"
TOO_MUCH_MEMORY = "of memory that PULLFORGE_INDEX_MEMORY_BYTES allows"
TOO_LONG = "it says more of its packages than the 1048576 bytes that this server takes at once"


@pytest.fixture
def channels() -> Iterator[FakeChannels]:
    with fake_channels() as served:
        yield served


@pytest.fixture
def good(channels: FakeChannels) -> Channel:
    return channels["good"].add(package("zlib", "1.3"))


def solver(directory: Path, limits: IndexLimits, network_timeout_seconds: float = 30) -> Solver:
    return Solver(
        directory,
        network_timeout_seconds=network_timeout_seconds,
        timeout_seconds=20,
        max_retries=0,
        limits=limits,
    )


def spec(name: str, channel: Channel) -> EnvironmentSpec:
    glibc = VirtualPackage("__glibc", "2.36")
    return EnvironmentSpec((Requirement(name),), (channel,), ("linux-64",), (glibc,))


def names(solution: Solution) -> list[str]:
    return [record.name for record in solution["linux-64"]]


def padded(name: str, size_bytes: int, *depends: str) -> bytes:
    """Return a shard of one package with so much more that means nothing."""
    content = msgpack.unpackb(zstandard.decompress(shard(name, *depends)))
    return zstandard.compress(msgpack.packb({**content, "more": os.urandom(size_bytes)}))


def attack(files: Files, directory: Path, good: Channel, made: Solver) -> str:
    """Return what is said of the hostile channel, to which another one is solved at once."""

    async def scenario() -> str:
        try:
            with hostile_channel(files) as url:
                hostile = made.solve(spec("a", Channel("hostile", url)))
                beside = made.solve(spec("zlib", good))
                error, solved = await asyncio.gather(hostile, beside, return_exceptions=True)
                assert isinstance(solved, Solution), solved
                assert names(solved) == ["zlib"]
                assert isinstance(error, ChannelUnavailable), error
                return error.message
        finally:
            await made.close()

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("files", "limits", "words"),
    [
        ({"linux-64/repodata.json": endless}, LIMITS, TOO_LARGE),
        ({"linux-64/repodata.json.zst": lambda: zstd_bomb(512 * MIB)}, LIMITS, TOO_LARGE),
        ({"linux-64/repodata.json.bz2": lambda: bz2_bomb(64 * MIB)}, LIMITS, TOO_LARGE),
        ({"linux-64/repodata.json": nested}, LIMITS, "its repodata is damaged"),
        ({"linux-64/repodata.json": lambda: tiny_records(3_000_000)}, ROOMY, TOO_MUCH_MEMORY),
        ({"linux-64/repodata.json": lambda: long_name(4 * MIB)}, ROOMY, TOO_LONG),
        (shards({"a": shard("a")}, named=1_000_000), ROOMY, TOO_MUCH_MEMORY),
        (shards({"a": zstd_bomb(512 * MIB)[0]}), ROOMY, TOO_MUCH_MEMORY),
        (
            shards({"a": shard("a", *(f"b{n}" for n in range(1_000_000)))}),
            ROOMY,
            TOO_MUCH_MEMORY,
        ),
    ],
    ids=[
        "endless",
        "zstd bomb",
        "bz2 bomb",
        "nested",
        "tiny records",
        "long name",
        "a million shards",
        "a shard that is a bomb",
        "a million requirements",
    ],
)
def test_a_channel_that_sends_too_much_is_blamed_alone(
    tmp_path: Path, good: Channel, files: Files, limits: IndexLimits, words: str
) -> None:
    said = attack(files, tmp_path, good, solver(tmp_path, limits))

    assert said.startswith("channel 'hostile' cannot be used: ")
    assert words in said
    assert not list(tmp_path.rglob(".tmp*"))
    assert used_bytes(tmp_path) < 64 * MIB


def test_a_channel_that_drips_is_given_up_while_others_are_solved(
    tmp_path: Path, good: Channel
) -> None:
    made = solver(tmp_path, LIMITS, network_timeout_seconds=2)
    said = attack({"linux-64/repodata.json": drip}, tmp_path, good, made)
    assert said == "channel 'hostile' cannot be used: it does not answer in time"


def test_all_shards_together_are_bounded_and_gone_afterwards(tmp_path: Path, good: Channel) -> None:
    # Each needs the next one, and takes a moment, as over a network.
    many = {f"a{n}": padded(f"a{n}", 2 * MIB, f"a{n + 1}") for n in range(40)}
    limits = IndexLimits(16 * MIB, 24 * MIB, 1024 * MIB, MIB)

    said = attack(
        shards({"a": shard("a", "a0"), **many}, pause_seconds=0.1),
        tmp_path,
        good,
        solver(tmp_path, limits),
    )

    assert "the 25165824 bytes that PULLFORGE_INDEX_CACHE_BYTES allows" in said
    assert used_bytes(tmp_path) < 24 * MIB


def test_a_channel_that_was_too_much_is_taken_back_when_it_is_mended(
    tmp_path: Path, channels: FakeChannels
) -> None:
    served = channels["main"]
    served.add(package("zlib", "1.3"))
    served.body = b"".join(tiny_records(3_000_000))
    seconds = [1000.0]
    made = Solver(tmp_path, max_retries=0, limits=ROOMY, clock=lambda: seconds[0])

    async def scenario() -> list[str]:
        with pytest.raises(ChannelUnavailable, match="cannot be used: reading its index"):
            await made.solve(spec("zlib", served.channel))
        asked = len(channels.asked)
        with pytest.raises(ChannelUnavailable, match="cannot be used: reading its index"):
            await made.solve(spec("zlib", served.channel))
        assert len(channels.asked) == asked
        served.body = None
        seconds[0] += 31
        found = names(await made.solve(spec("zlib", served.channel)))
        await made.close()
        return found

    assert asyncio.run(scenario()) == ["zlib"]


def test_no_memory_for_another_thread_is_no_memory(tmp_path: Path, good: Channel) -> None:
    setup = Setup(tmp_path, LIMITS, 30, 60, 0, ChannelCredentials())

    async def scenario() -> None:
        processes = IndexProcesses(setup, time.monotonic)
        try:
            await processes.ask([good], 20, start_threads)
        finally:
            await processes.close()

    with pytest.raises(ChannelUnavailable, match=TOO_MUCH_MEMORY):
        asyncio.run(scenario())


def test_a_process_that_is_killed_costs_nobody_an_answer(tmp_path: Path, good: Channel) -> None:
    made = solver(tmp_path, LIMITS)

    async def scenario() -> list[str]:
        await made.solve(spec("zlib", good))
        asking = [asyncio.create_task(made.solve(spec("zlib", good))) for _ in range(5)]
        await asyncio.sleep(0)
        for child in _children():
            os.kill(child, signal.SIGKILL)
        found = await asyncio.gather(*asking)
        await made.close()
        return [name for solved in found for name in names(solved)]

    assert asyncio.run(scenario()) == ["zlib"] * 5
    assert not _children()


def test_a_loop_that_ends_without_a_close_ends_the_process_too(
    tmp_path: Path, good: Channel
) -> None:
    made = solver(tmp_path, LIMITS)
    assert names(asyncio.run(made.solve(spec("zlib", good)))) == ["zlib"]
    assert not _children()


def test_what_an_earlier_run_left_is_taken_out_before_it_is_read(
    tmp_path: Path, good: Channel
) -> None:
    (tmp_path / "12345678.json").write_bytes(bytes(17 * MIB))
    (tmp_path / ".tmpAbCdEf").write_bytes(bytes(MIB))
    made = solver(tmp_path, LIMITS)

    async def scenario() -> list[str]:
        solved = await made.solve(spec("zlib", good))
        await made.close()
        return names(solved)

    assert asyncio.run(scenario()) == ["zlib"]
    assert used_bytes(tmp_path) < MIB


def test_what_others_are_writing_stays(tmp_path: Path) -> None:
    held = hold_cache(tmp_path)
    (tmp_path / ".tmpAbCdEf").write_bytes(b"half of it")
    sweep_cache(tmp_path, LIMITS)
    assert (tmp_path / ".tmpAbCdEf").exists()
    os.close(held)
    sweep_cache(tmp_path, LIMITS)
    assert not (tmp_path / ".tmpAbCdEf").exists()


def _children() -> list[int]:
    """Return the processes of this one that read indexes."""
    task = Path("/proc/self/task")
    found = (children.read_text().split() for children in task.glob("*/children"))
    return [int(child) for one in found for child in one if _reads_indexes(child)]


def _reads_indexes(process: str) -> bool:
    try:
        return b"builder.solve.child" in Path("/proc", process, "cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return False
