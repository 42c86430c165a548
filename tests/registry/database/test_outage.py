from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from registry.database import open_database
from registry.database.outage import Outage
from registry.errors import DatabaseUnavailable

GONE = "failed to use the database"
STILL = "the database still does not answer"
BACK = "the database answers again"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def events(lines: list[MutableMapping[str, Any]]) -> list[tuple[str, int | None]]:
    return [(line["event"], line.get("seconds")) for line in lines]


def test_a_line_when_it_goes_one_a_minute_and_one_when_it_is_back() -> None:
    clock = Clock()
    outage = Outage(clock)
    with capture_logs() as lines:
        outage.succeeded(is_writing=True)
        for _ in range(4 * 150):
            outage.failed(OSError("refused"), "refused", is_writing=False)
            clock.now += 0.25
        for _ in range(8):
            outage.succeeded(is_writing=False)
        outage.failed(OSError("refused"), "refused", is_writing=False)
    assert events(lines) == [(GONE, None), (STILL, 60), (STILL, 120), (BACK, 150), (GONE, None)]
    assert lines[0]["error"] == "refused"
    assert lines[0]["kind"] == "OSError"


def test_reading_does_not_end_what_writing_began() -> None:
    outage = Outage(Clock())
    with capture_logs() as lines:
        for _ in range(10):
            outage.failed(OSError("full"), "full", is_writing=True)
            outage.succeeded(is_writing=False)
        outage.succeeded(is_writing=True)
    assert events(lines) == [(GONE, None), (BACK, 0)]


def test_reading_ends_what_writing_found_first() -> None:
    outage = Outage(Clock())
    with capture_logs() as lines:
        outage.failed(OSError("gone"), "gone", is_writing=True)
        outage.failed(OSError("gone"), "gone", is_writing=False)
        outage.succeeded(is_writing=False)
    assert events(lines) == [(GONE, None), (BACK, 0)]


@pytest.mark.anyio
async def test_a_database_that_goes_and_comes_back_is_told_of_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.mkdir()
    async with open_database(f"sqlite:///{path}") as database:
        with capture_logs() as lines:
            for _ in range(20):
                with pytest.raises(DatabaseUnavailable):
                    async with database.reading():
                        pass
            path.rmdir()
            for _ in range(3):
                async with database.reading():
                    pass
    assert [line["event"] for line in lines] == [GONE, BACK]
