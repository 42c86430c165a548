"""Programs of the machine are run to their end, and no longer than they may."""

import time

import pytest

from registry.prefixes.programs import ProgramFailed, ProgramMissing, run_program

pytestmark = pytest.mark.anyio


async def test_a_program_that_does_not_end_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(ProgramFailed, match="it has not ended within 1 s"):
        await run_program(["sleep", "86398"], 1)
    assert time.monotonic() - began < 30


async def test_what_a_program_says_last_is_why_it_failed() -> None:
    with pytest.raises(ProgramFailed, match=r"^ls: cannot access '/nowhere': No such file"):
        await run_program(["ls", "/nowhere"])


async def test_a_program_that_is_not_there_is_told_of() -> None:
    with pytest.raises(ProgramMissing):
        await run_program(["no-such-program"])
