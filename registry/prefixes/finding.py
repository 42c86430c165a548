"""Where a prefix is in a root, without looking at the whole root: on the way of every program.

Nothing is locked, written or imported that takes long.
"""

import json
import os
import stat
from typing import Final, NamedTuple

#: Where conda looks for what is installed.
RECORDS: Final = "conda-meta"
#: Where a prefix says what it is.
MARK: Final = f"{RECORDS}/pullforge"
#: What a root itself writes down is here.
FOLDER: Final = ".pullforge"
#: In ``FOLDER``: the paths of whole prefixes by key.
BUILDS: Final = "builds.json"
#: Of marks.
FORMAT: Final = 1
#: Enough for the names of 100 000 packages.
MAX_MARK_BYTES: Final = 8 * 1024 * 1024
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Mark(NamedTuple):
    """What a prefix says of itself."""

    #: Of its lock.
    key: str
    platform: str
    #: Absolute path that its files say.
    prefix: str
    #: Names of the unpacked packages that it was made of.
    packages: tuple[str, ...]
    #: How many ``conda-meta/*.json`` it has; ``None``: it does not say.
    records: int | None = None


def read_mark(prefix: str | os.PathLike[str]) -> Mark | None:
    """Return what a prefix says of itself; ``None``: it has no mark, or one that says nothing."""
    try:
        descriptor = os.open(os.path.join(prefix, MARK), _READ)  # noqa: PTH118 (as it is fast)
    except OSError:
        return None
    try:
        # The owner of a prefix may have put anything there, a device without end for example.
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_MARK_BYTES:
            return None
        return parse_mark(os.read(descriptor, found.st_size + 1))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse_mark(data: bytes) -> Mark | None:
    """Return what a mark says; ``None``: it is none."""
    try:
        content = json.loads(data)
        if content["format"] != FORMAT:
            return None
        packages = tuple(content["packages"])
        texts = (content["key"], content["platform"], content["prefix"], *packages)
        records = content.get("records")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if set(map(type, texts)) != {str} or not isinstance(records, int | None):
        return None
    return Mark(texts[0], texts[1], texts[2], packages, records)


def find_prefix(root: str | os.PathLike[str], key: str, platform: str) -> str | None:
    """Return the absolute path of a whole prefix of a build, if the root has one.

    Args:
        root: Of any layout and driver; it may be written by another user.
        key: Of the build.
        platform: For example ``"linux-64"``.
    """
    try:
        with open(os.path.join(root, FOLDER, BUILDS), "rb") as file:  # noqa: PTH118, PTH123
            paths = json.loads(file.read())[key]
        found = [os.path.join(os.path.abspath(root), path) for path in paths]  # noqa: PTH100, PTH118
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return next((path for path in found if is_whole(path, key, platform)), None)


def is_whole(prefix: str, key: str, platform: str) -> bool:
    """Tell whether a prefix of a build is there, made there, with the records of its packages.

    Args:
        prefix: Absolute path.
        key: Of the build.
        platform: For example ``"linux-64"``.
    """
    mark = read_mark(prefix)
    return mark is not None and mark[:3] == (key, platform, prefix) and has_records(prefix, mark)


def has_records(prefix: str, mark: Mark) -> bool:
    """Tell whether a prefix has the records of all its packages still, by their number."""
    if mark.records is None:
        return True
    try:
        names = os.listdir(os.path.join(prefix, RECORDS))  # noqa: PTH118, PTH208
    except OSError:
        return False
    # A pass looks at thousands of prefixes: one search is five times as fast as one for each name.
    return f"{'/'.join(names)}/".count(".json/") >= mark.records
