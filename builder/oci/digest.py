"""Content digests (OCI image-spec, descriptor.md, "Digests")."""

import hashlib
import re
from typing import Final, Literal, NewType, cast

from builder.errors import InvalidDigest

#: A well-formed digest such as ``"sha256:e3b0c442…"``: an algorithm and lower-case hex digits.
Digest = NewType("Digest", str)

#: What others may have made their digests with; whatever is made here has sha256.
Algorithm = Literal["sha256", "sha512"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("sha256", "sha512")

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")

#: The digest of no bytes at all.
EMPTY = Digest("sha256:" + hashlib.sha256().hexdigest())


def parse_digest(text: str) -> Digest:
    """Return ``text`` as a digest.

    >>> parse_digest(EMPTY) == EMPTY
    True

    Raises:
        InvalidDigest: ``text`` is not ``sha256:`` and 64, or ``sha512:`` and 128 hex digits.
    """
    if not _DIGEST.fullmatch(text):
        raise InvalidDigest(text)
    return Digest(text)


def is_digest(text: str) -> bool:
    """Tell whether ``text`` is meant as a digest rather than a tag: a tag has no colon."""
    return ":" in text


def digest_of(data: bytes, algorithm: Algorithm = "sha256") -> Digest:
    """Return the digest of ``data``.

    >>> digest_of(b"") == EMPTY
    True
    """
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def algorithm_of(digest: Digest) -> Algorithm:
    """Return how a digest is computed.

    >>> algorithm_of(EMPTY)
    'sha256'
    """
    return cast("Algorithm", digest.partition(":")[0])


def hex_of(digest: Digest) -> str:
    """Return the hex digits of a digest, without the algorithm."""
    return digest.partition(":")[2]
