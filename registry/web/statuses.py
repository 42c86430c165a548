"""The HTTP status of an error, by what it means; faces have short tables of exceptions beside.

And what several faces say of errors in the same words.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from builder.errors import DomainError, ErrorKind
from registry.errors import TooManyRequests, Unsupported
from registry.web.asgi.responses import RawHeaders, header

Answer = TypeVar("Answer")
Handler = TypeVar("Handler")

STATUSES: Final[Mapping[ErrorKind, int]] = {
    "invalid": 400,
    "failed": 422,
    "not_found": 404,
    "denied": 403,
    "conflict": 409,
    "too_large": 413,
    "busy": 429,
    "unavailable": 503,
    "internal": 500,
}


def answer_for(
    error: type[DomainError],
    exceptions: Mapping[type[Exception], Answer],
    kinds: Mapping[ErrorKind, Answer],
) -> Answer:
    """Return what an error class is for clients: its exception or its base's, else its kind's."""
    found = (exceptions[base] for base in error.__mro__ if base in exceptions)
    return next(found, kinds[error.kind])


def handler_for(method: str, handlers: Mapping[str, Handler]) -> Handler:
    """Return what answers a method at an address.

    Raises:
        Unsupported: Nothing does.
    """
    if method not in handlers:
        allowed = sorted(handlers)
        raise Unsupported(f"{method[:20]} is not possible here; {', '.join(allowed)} is", allowed)
    return handlers[method]


def lines_for_browsers(error: DomainError) -> RawHeaders:
    """Return the header lines of an error's answer, without a challenge: browsers have forms."""
    if isinstance(error, Unsupported):
        return [header("allow", ", ".join(error.allow))]
    if isinstance(error, TooManyRequests):
        return [header("retry-after", str(error.seconds))]
    return []
