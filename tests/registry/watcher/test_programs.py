"""Programs that are run to their end, on the event loop that servers have."""

import asyncio
import time
from pathlib import Path

import pytest
import uvloop

from registry.watcher.programs import Limits, run_program


@pytest.mark.parametrize("given", [b"", b"x" * 1_000_000], ids=["nothing", "much"])
def test_a_program_that_ends_before_it_is_written_to_has_succeeded(given: bytes) -> None:
    def keep_busy() -> None:
        time.sleep(0.02)
        asyncio.get_running_loop().call_soon(keep_busy)

    async def run() -> bytes:
        asyncio.get_running_loop().call_soon(keep_busy)
        return await run_program(["/bin/true"], {}, Path("/"), Limits(30, 1000), given)

    assert uvloop.run(run()) == b""
