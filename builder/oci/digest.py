"""Content digests (OCI image-spec, descriptor.md, "Digests")."""

import hashlib
import re
from typing import NewType

from builder.errors import InvalidDigest

#: A well-formed digest such as ``"sha256:e3b0c442…"`` with 64 lower-case hex digits.
Digest = NewType("Digest", str)

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")

#: The digest of no bytes at all.
EMPTY = Digest("sha256:" + hashlib.sha256().hexdigest())


def parse_digest(text: str) -> Digest:
    """Return ``text`` as a digest.

    >>> parse_digest(EMPTY) == EMPTY
    True

    Raises:
        InvalidDigest: ``text`` is not ``sha256:`` and 64 lower-case hex digits.
    """
    if not _SHA256.fullmatch(text):
        raise InvalidDigest(text)
    return Digest(text)


def is_digest(text: str) -> bool:
    """Tell whether ``text`` is meant as a digest rather than a tag: a tag has no colon."""
    return ":" in text


def digest_of(data: bytes) -> Digest:
    """Return the sha256 digest of ``data``.

    >>> digest_of(b"") == EMPTY
    True
    """
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def hex_of(digest: Digest) -> str:
    """Return the 64 hex digits of a digest, without the algorithm."""
    return digest.partition(":")[2]
