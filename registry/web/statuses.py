"""The HTTP status of an error, by what it means; faces have short tables of exceptions beside."""

from collections.abc import Mapping
from typing import Final, TypeVar

from builder.errors import DomainError, ErrorKind

Answer = TypeVar("Answer")

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
