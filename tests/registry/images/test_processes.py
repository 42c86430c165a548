import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from builder.errors import CorruptPackage, WorkerLost
from registry.images.processes import LocalProcesses


def double(number: int) -> int:
    return 2 * number


def fail() -> None:
    raise CorruptPackage("the archive is damaged")


def imported() -> list[str]:
    return list(sys.modules)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@asynccontextmanager
async def processes() -> AsyncIterator[LocalProcesses]:
    pool = LocalProcesses(1)
    try:
        yield pool
    finally:
        pool.close()


def test_building_gives_way_to_what_answers() -> None:
    async def scenario() -> None:
        async with processes() as pool:
            assert await pool.run(os.nice, 0) == min(os.nice(0) + 10, 19)

    asyncio.run(scenario())


def test_work_is_done_in_another_process_and_its_errors_come_back() -> None:
    async def scenario() -> None:
        async with processes() as pool:
            assert await pool.run(double, 21) == 42
            assert await pool.run(os.getpid) != os.getpid()
            with pytest.raises(CorruptPackage, match="the archive is damaged"):
                await pool.run(fail)

    asyncio.run(scenario())


def test_what_layers_need_is_imported_once_for_all_processes() -> None:
    async def scenario() -> None:
        async with processes() as pool:
            needed = {"builder.install.assemble", "builder.lock.conda_lock_models"}
            assert needed <= set(await pool.run(imported))

    asyncio.run(scenario())


def test_a_process_that_dies_is_an_error_in_words_and_the_next_call_works() -> None:
    async def scenario() -> None:
        async with processes() as pool:
            with pytest.raises(WorkerLost, match="pull again"):
                await pool.run(die)
            assert await pool.run(double, 21) == 42

    asyncio.run(scenario())


SERVER = """
import asyncio, os
from registry.images.processes import LocalProcesses

async def main():
    print(await LocalProcesses(1).run(os.getpid), flush=True)
    await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main())
"""


# The path of a socket has 107 bytes at most, and that of the process which forks lies there.
@pytest.mark.parametrize("length", [0, 150], ids=["forked", "where paths are long"])
def test_workers_end_when_their_server_is_killed(tmp_path: Path, length: int) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    temporary = tmp_path / ("t" * length) if length else Path("/tmp")
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "TMPDIR": str(temporary),
    }
    with subprocess.Popen(
        [sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        worker = os.pidfd_open(int(server.stdout.readline()))
        server.kill()
        ended, _, _ = select.select([worker], [], [], 30)
    os.close(worker)
    assert ended
