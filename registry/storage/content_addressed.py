"""Keys that say what is under them: their last segment is its digest."""

import re
from typing import Final

from builder.oci.digest import Digest

_KEY: Final = re.compile(
    r"(?:blobs/(sha256)|packages)/[0-9a-f]{2}/([0-9a-f]{64})"
    r"|blobs/(sha512)/[0-9a-f]{2}/([0-9a-f]{128})"
)


def digest_of_key(key: str) -> Digest | None:
    """Return the digest of the bytes under ``key``, or ``None`` where the key does not say.

    >>> digest_of_key("locks/0123456789abcdef0123456789abcdef.yml")
    >>> digest_of_key("packages/e3/" + "e3" * 32)[:13]
    'sha256:e3e3e3'
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    return Digest(f"{match[1] or match[3] or 'sha256'}:{match[2] or match[4]}")
