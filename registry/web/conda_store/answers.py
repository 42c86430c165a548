"""What conda-store's clients read: an envelope, pages, and times without a zone."""

from datetime import UTC, datetime
from typing import Any

from registry.web.api_client import ApiProblem
from registry.web.asgi.responses import BytesResponse, RawHeaders, header, json_answer


def answer(data: Any = None, message: str | None = None, *, status: int = 200) -> BytesResponse:
    """Return ``data`` in its envelope."""
    return json_answer(status, {"status": "ok", "data": data, "message": message})


def acknowledged(message: str | None = None) -> BytesResponse:
    """Return that it was done, where there is nothing else to tell."""
    return json_answer(200, {"status": "ok", "message": message})


def error_answer(status: int, message: str, lines: RawHeaders | None = None) -> BytesResponse:
    """Return what went wrong: the interface of its users shows ``message``."""
    return json_answer(status, {"status": "error", "message": message}, lines)


def problem_answer(problem: ApiProblem, status: int | None = None) -> BytesResponse:
    """Return what the API refuses, and when to ask again.

    Args:
        problem: It.
        status: In the place of the API's.
    """
    lines = [] if problem.retry_after is None else [header("retry-after", problem.retry_after)]
    return error_answer(status or problem.status, problem.message, lines)


def moment(at: datetime | None) -> str | None:
    """Return a time as clients want it, which append a zone before they read it.

    >>> moment(datetime(2026, 11, 30, 8, 15, 0, 250000, UTC))
    '2026-11-30T08:15:00.250000'
    """
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None).isoformat()
