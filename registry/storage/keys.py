"""Which keys a store accepts: the same on every driver, so that a store can be moved."""

import re
from typing import Final

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_+=@~!-][A-Za-z0-9._+=@~!-]{0,254}")
#: S3's limit; a path on disk may be longer.
_MAX_LENGTH: Final = 1024


def checked_key(key: str) -> str:
    """Return ``key`` if it is safe as a path and as the name of an S3 object.

    A segment never starts with a dot: that keeps ``..`` out, and names such as ``.tmp`` free for
    the driver itself.

    >>> checked_key("blobs/sha256/e3/e3b0")
    'blobs/sha256/e3/e3b0'

    Raises:
        ValueError: A segment is empty, starts with a dot, is too long or has other characters.
    """
    if not is_key(key):
        raise ValueError(f"{key[:200]!r} is not a safe key")
    return key


def is_key(key: str) -> bool:
    """Tell whether ``key`` is safe; a bucket may hold things of others whose names are not.

    >>> is_key("blobs/sha256/e3/e3b0"), is_key("folder/"), is_key("../etc/passwd")
    (True, False, False)
    """
    return len(key) <= _MAX_LENGTH and all(_SEGMENT.fullmatch(part) for part in key.split("/"))


def checked_prefix(prefix: str) -> str:
    """Return ``prefix`` if some safe key can start with it; it may end within a segment.

    >>> checked_prefix("blobs/"), checked_prefix("blobs/sh"), checked_prefix("")
    ('blobs/', 'blobs/sh', '')

    Raises:
        ValueError: No safe key starts with it.
    """
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix
