import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from registry.telemetry import (
    AnsweredRequest,
    JsonAccessLog,
    NoAccessLog,
    StructuredAccessLog,
    configure_logs,
)

#: Text that would break a line, or end a string, if it were written as it is.
HOSTILE = 'a"b\\c\n{"status":1}\r\x00\x1b[31mä\u2028😀'


@pytest.fixture
def file() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    file = io.StringIO()
    configure_logs("json", file=file)
    yield file
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def lines_of(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("user", [None, "ada"])
@pytest.mark.parametrize("text", ["/v2/env/numpy/manifests/latest", HOSTILE, "x" * 1000])
def test_a_line_is_the_one_that_structlog_writes(
    file: io.StringIO, text: str, user: str | None
) -> None:
    async def scenario() -> None:
        for log in (JsonAccessLog(file), StructuredAccessLog()):
            log.answered(AnsweredRequest("r1", "GET", text, 200, 0.00001234, 77, text, user))
            await asyncio.sleep(0)

    asyncio.run(scenario())
    fast, slow = lines_of(file)
    assert fast.pop("timestamp")[:10] == slow.pop("timestamp")[:10]
    assert list(fast) == list(slow)
    assert fast == slow


def test_the_time_is_written_as_in_other_lines(file: io.StringIO) -> None:
    async def scenario() -> None:
        JsonAccessLog(file).answered(AnsweredRequest("r1", "GET", "/", 200, 1.5, 7, "", None))
        await asyncio.sleep(0)
        structlog.get_logger().info("something else")

    asyncio.run(scenario())
    first, second = (line["timestamp"] for line in lines_of(file))
    assert len(first) == len(second)
    assert first <= second


def test_lines_of_one_turn_of_the_event_loop_are_written_together_at_its_end(
    file: io.StringIO,
) -> None:
    async def scenario() -> None:
        log = JsonAccessLog(file)
        for at in range(3):
            log.answered(AnsweredRequest(f"r{at}", "GET", "/", 200, 0.1, 7, "", None))
        assert file.getvalue() == ""
        await asyncio.sleep(0)
        assert [line["request_id"] for line in lines_of(file)] == ["r0", "r1", "r2"]
        log.answered(AnsweredRequest("r3", "GET", "/", 200, 0.1, 7, "", None))
        await asyncio.sleep(0)
        assert len(lines_of(file)) == 4

    asyncio.run(scenario())


def test_what_the_event_loop_left_is_written_at_the_end(file: io.StringIO) -> None:
    log = JsonAccessLog(file)

    async def scenario() -> None:
        log.answered(AnsweredRequest("r1", "GET", "/", 200, 0.1, 7, "", None))

    asyncio.run(scenario())
    log.flush()
    log.flush()
    assert len(lines_of(file)) == 1


def test_no_log_writes_nothing(file: io.StringIO) -> None:
    NoAccessLog().answered(AnsweredRequest("r1", "GET", "/", 200, 0.1, 7, "", None))
    assert file.getvalue() == ""
