import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from builder.errors import CorruptPackage, WorkerLost
from registry.builds.processes import LocalProcesses


def double(number: int) -> int:
    return 2 * number


def fail() -> None:
    raise CorruptPackage("the archive is damaged")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@asynccontextmanager
async def processes() -> AsyncIterator[LocalProcesses]:
    pool = LocalProcesses(1)
    try:
        yield pool
    finally:
        pool.close()


def test_work_is_done_in_another_process_and_its_errors_come_back() -> None:
    async def scenario() -> None:
        async with processes() as pool:
            assert await pool.run(double, 21) == 42
            assert await pool.run(os.getpid) != os.getpid()
            with pytest.raises(CorruptPackage, match="the archive is damaged"):
                await pool.run(fail)

    asyncio.run(scenario())


def test_a_process_that_dies_is_an_error_in_words_and_the_next_call_works() -> None:
    async def scenario() -> None:
        async with processes() as pool:
            with pytest.raises(WorkerLost, match="pull again"):
                await pool.run(die)
            assert await pool.run(double, 21) == 42

    asyncio.run(scenario())
