"""Computing in threads of this process."""

import asyncio
import os
import threading
from contextlib import closing

import pytest

from builder.errors import CorruptPackage
from registry.worker.threads import ThreadWorkers


def double(number: int, *, plus: int = 0) -> tuple[int, int, int]:
    return 2 * number + plus, os.getpid(), threading.get_ident()


def fail() -> None:
    raise CorruptPackage("the archive is damaged")


def test_work_is_done_in_another_thread_of_this_process_and_its_errors_come_back() -> None:
    async def scenario() -> None:
        with closing(ThreadWorkers()) as threads:
            result, process, thread = await threads.run(double, 20, plus=2)
            assert (result, process) == (42, os.getpid())
            assert thread != threading.get_ident()
            with pytest.raises(CorruptPackage, match="the archive is damaged"):
                await threads.run(fail)

    asyncio.run(scenario())
