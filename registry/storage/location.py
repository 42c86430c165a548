"""Where a store is: a directory, or a place in a bucket, written as in ``PULLFORGE_STORE``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_S3: Final = "s3://"
#: S3's rule; a dot is allowed, though not with TLS and an address of the bucket's own.
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A place in a bucket."""

    bucket: str
    #: What all keys start with: empty, or segments that each end in ``/``.
    prefix: str = ""

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{_S3}{self.bucket}/{self.prefix}".rstrip("/")


def parse_location(text: str) -> Path | S3Location:
    """Return the directory or the place in a bucket that ``text`` means.

    >>> parse_location("s3://images/team/a")
    S3Location(bucket='images', prefix='team/a/')
    >>> parse_location("/var/lib/pullforge").as_posix()
    '/var/lib/pullforge'

    Raises:
        ValueError: It is neither; the message is a sentence for the administrator.
    """
    if not text.startswith(_S3):
        if "://" in text or text.startswith("s3:") or not text:
            raise ValueError(
                f"{text!r} is not a place for a store: write a directory or s3://BUCKET/PREFIX"
            )
        return Path(text).expanduser()
    bucket, _, rest = text.removeprefix(_S3).partition("/")
    segments = rest.rstrip("/").split("/") if rest.strip("/") else []
    if not _BUCKET.fullmatch(bucket) or not all(_SEGMENT.fullmatch(part) for part in segments):
        raise ValueError(
            f"{text!r} is not a place in a bucket: write s3://BUCKET or s3://BUCKET/PREFIX"
        )
    return S3Location(bucket, "".join(f"{part}/" for part in segments))
