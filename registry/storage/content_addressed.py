"""Keys that say what is under them: their last segment is its sha256."""

import re
from typing import Final

_KEY: Final = re.compile(r"(?:blobs/sha256|packages)/[0-9a-f]{2}/([0-9a-f]{64})")


def sha256_of_key(key: str) -> str | None:
    """Return the sha256 that the bytes under ``key`` have, or ``None`` where the key does not say.

    >>> sha256_of_key("locks/0123456789abcdef0123456789abcdef.yml")
    >>> sha256_of_key("packages/e3/" + "e3" * 32)[:6]
    'e3e3e3'
    """
    match = _KEY.fullmatch(key)
    return match[1] if match else None
