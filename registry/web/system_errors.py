"""Logs what the store or this machine lacks, once and not for each request."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from builder.errors import MachineUnavailable, StoreUnavailable
from builder.system_errors import machine_errors

#: After how long the same sentence is logged again, in seconds.
_AGAIN_SECONDS: Final = 60.0

_log = structlog.get_logger("registry.web")
#: When each sentence was logged last; there are a few of them.
_logged: dict[str, float] = {}


@contextmanager
def machine_trouble() -> Iterator[None]:
    """Raise errors with the true cause, as ``machine_errors`` does, and log it.

    Raises:
        StoreUnavailable: The store cannot be used.
        MachineUnavailable: This machine has no files, memory or processes left.
    """
    try:
        with machine_errors():
            yield
    except (StoreUnavailable, MachineUnavailable) as exc:
        kind, now = f"{type(exc).__name__} {type(exc.__cause__).__name__}", time.monotonic()
        if now >= _logged.get(kind, float("-inf")) + _AGAIN_SECONDS:
            _logged[kind] = now
            _log.error("cannot answer for now", error=exc.message, cause=str(exc.__cause__ or ""))
        raise
