"""How Celery's worker receives a message, whatever somebody has sent.

Celery unpacks a message outside of the task, and ends with what that raises; then the broker hands
the message to the next worker, and so on.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from celery.exceptions import InvalidTaskError
from celery.worker.strategy import default
from kombu import compression

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: A message never has more bytes, as text.
MAX_BYTES: Final = 128 * 1024 * 1024


def guarded(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Return Celery's own strategy, which refuses what it cannot unpack."""
    receive = default(task, app, consumer, **options)

    def refuse_malformed(*args: Any, **named: Any) -> Any:
        try:
            return receive(*args, **named)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
            raise InvalidTaskError(f"{type(exc).__name__}: {exc}"[:300]) from exc

    return refuse_malformed


def bound_messages() -> None:
    """Have messages unpacked up to a size, and only as servers pack them: 1 kB may be 10 GB."""
    register: Any = compression.register  # has no types
    register(zstd.compress, _unpacked, "application/zstd", aliases=["zstd"])
    for kind in ("application/x-gzip", "application/x-bz2", "application/x-lzma"):
        register(zstd.compress, _refused, kind)


def _unpacked(data: bytes) -> bytes:
    reader = zstd.ZstdDecompressor()
    text = reader.decompress(data, max_length=MAX_BYTES)
    if not reader.eof:
        raise ValueError("it is larger than any message when it is unpacked")
    return text


def _refused(_: bytes) -> bytes:
    raise ValueError("no server packs messages in this way")
