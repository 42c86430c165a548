"""Log lines: a constant lower-case event, and everything that varies as fields of its own.

Code says ``structlog.get_logger().info("built image", key=key, seconds=3.2)``. What was bound for a
request (``request_id``) is in each of its lines.
"""

import json
import logging
import sys
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: Made once: ``json.dumps`` makes one for each line as soon as anything is not its default.
_ENCODER: Final = json.JSONEncoder(default=str, separators=(",", ":"))


def configure_logs(
    log_format: Literal["json", "console"],
    *,
    level: int = logging.INFO,
    file: TextIO | None = None,
) -> None:
    """Send logs of ``level`` and above to ``file`` or standard error, also those of ``logging``.

    ``log_format`` is one JSON object a line, or words for people.
    """
    stream = file if file is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, _render_json]
        if log_format == "json"
        else [
            structlog.processors.format_exc_info,
            _escape_unprintable,
            # Others show the variables of each function, which may be passwords.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))


def _escape_unprintable(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Escape control characters of clients before a terminal shows them."""
    return {
        name: _printable(value, "\n" if name == "exception" else "")
        if isinstance(value, str)
        else value
        for name, value in fields.items()
    }


def _printable(text: str, kept: str) -> str:
    """Return ``text`` with escapes in the place of what is not printed, but for ``kept``."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept else repr(one)[1:-1] for one in text)


def _render_json(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    return _ENCODER.encode(fields)
