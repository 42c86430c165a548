"""Every way in which S3 fails, as one error with one sentence; the log has the details."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import structlog
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from builder.errors import StoreUnavailable

#: What reaching S3, or reading from it, raises.
FAILURES: Final = (ClientError, BotoCoreError, aiohttp.ClientError, ConnectionError, TimeoutError)

#: A small request with all its tries takes no longer: engines wait 30 s for an answer.
PATIENCE_SECONDS: Final = 25.0

_NO_ANSWER: Final = "the store does not answer; try again in a moment"
_OVERLOADED: Final = "the store is overloaded; try again in a moment"
_FULL: Final = "the store is full: its administrator has to make room"
_REPLACED: Final = "what was being read was replaced meanwhile; try again"
_DAMAGED: Final = "what was sent to the store arrived damaged; try again"
_NO_BUCKET: Final = "the store's bucket does not exist: the administrator has to look"
_REFUSED: Final = (
    "the store refuses this server, whose administrator has to look at its credentials and"
    " permissions"
)

_SENTENCES: Final = {
    "SlowDown": _OVERLOADED,
    "ServiceUnavailable": _OVERLOADED,
    "RequestLimitExceeded": _OVERLOADED,
    "TooManyRequests": _OVERLOADED,
    "503": _OVERLOADED,
    "429": _OVERLOADED,
    "507": _FULL,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "412": _REPLACED,
    "BadDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "NoSuchBucket": _NO_BUCKET,
    "AccessDenied": _REFUSED,
    "403": _REFUSED,
    "401": _REFUSED,
    "InvalidAccessKeyId": _REFUSED,
    "SignatureDoesNotMatch": _REFUSED,
    "ExpiredToken": _REFUSED,
    "InvalidToken": _REFUSED,
}


@asynccontextmanager
async def s3_errors(operation: str, patience_seconds: float | None = None) -> AsyncIterator[None]:
    """Raise errors of S3 inside as errors of the store; log ``operation``.

    All of it may take ``patience_seconds``; with ``None``, only silence is limited.

    Raises:
        StoreUnavailable: S3 does not answer, refuses, is full or has no such bucket.
    """
    try:
        async with asyncio.timeout(patience_seconds):
            yield
    except FAILURES as exc:
        raise store_error(operation, exc) from exc


def store_error(operation: str, error: BaseException) -> StoreUnavailable:
    """Return the error that callers are told of; the log gets the details."""
    log = structlog.get_logger("registry.storage")
    log.warning("failed to use s3", operation=operation, error=str(error) or repr(error))
    return StoreUnavailable(_sentence(error))


def code_of(error: BaseException) -> str:
    """Return S3's code, e.g. ``"NoSuchKey"``; for answers without a body, the status."""
    if not isinstance(error, ClientError):
        return ""
    return error.response.get("Error", {}).get("Code", "")


def status_of(error: BaseException) -> int:
    """Return the status of S3's answer, 0 if there was none."""
    if not isinstance(error, ClientError):
        return 0
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def is_missing(error: BaseException) -> bool:
    """Tell whether S3 said that there is no such key; of the bucket, HEAD says the same."""
    return code_of(error) in {"NoSuchKey", "404"}


def _sentence(error: BaseException) -> str:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return _REFUSED
    code, status = code_of(error), status_of(error)
    for known in (code, str(status)):
        if known in _SENTENCES:
            return _SENTENCES[known]
    if 400 <= status < 500:
        return f"the store refused with {code}: its administrator has to look"
    return _NO_ANSWER
