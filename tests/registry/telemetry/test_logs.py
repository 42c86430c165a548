import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from registry.telemetry import configure_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object() -> None:
    file = io.StringIO()
    configure_logs("json", file=file)
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.info("built image", key="abc", note="two\nlines")
        log.debug("not written")
    line = json.loads(file.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "built image",
        "level": "info",
        "key": "abc",
        "note": "two\nlines",
        "request_id": "r1",
    }


def test_an_exception_stays_on_its_line() -> None:
    file = io.StringIO()
    configure_logs("json", file=file)
    structlog.get_logger().error("failed to build", exc_info=ValueError("broken"))
    (text,) = file.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(text)["exception"]


def test_warnings_of_libraries_have_the_same_form() -> None:
    file = io.StringIO()
    configure_logs("json", file=file)
    logging.getLogger("some.library").warning("connection %s lost", 7)
    logging.getLogger("some.library").info("not written")
    line = json.loads(file.getvalue())
    assert line["event"] == "connection 7 lost"
    assert line["level"] == "warning"


def test_people_get_words() -> None:
    file = io.StringIO()
    configure_logs("console", file=file)
    structlog.get_logger().info("built image", key="abc")
    assert "built image" in file.getvalue()
    assert not file.getvalue().startswith("{")


def test_a_terminal_obeys_nothing_that_a_client_sent() -> None:
    file = io.StringIO()
    configure_logs("console", file=file)
    odd = "a\x1b]0;x\x07b\x9bc\u2028d\u202ee\rf\ng\ud800"
    structlog.get_logger().warning("failed to answer request", path=odd)
    logging.getLogger("some.library").warning("odd: %s", odd)
    first, second, *others = file.getvalue().removesuffix("\n").split("\n")
    assert others == []
    for line in (first, second):
        assert not set(line) & set("\x07\x9b\u2028\u202e\r\ud800")
        assert "\x1b]" not in line


def test_people_see_where_it_failed_and_no_passwords() -> None:
    file = io.StringIO()
    configure_logs("console", file=file)

    def log_in(password: str) -> None:
        raise ValueError(f"failed {len(password)} \x1b[31m")

    try:
        log_in("correct horse")
    except ValueError:
        structlog.get_logger().exception("failed to answer request")
    text = file.getvalue()
    assert "in log_in" in text
    assert "correct horse" not in text.replace('log_in("correct horse")', "")
    assert "\x1b[31m" not in text.partition("Traceback")[2]
