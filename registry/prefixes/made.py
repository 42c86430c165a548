"""What a root has made: by it a prefix is known though its mark is gone, and sizes without looking.

One line of JSON each, appended before what it says is put in its place::

    {"package": name, "bytes": …, "start": …}              unpacked since that start of the machine
    {"prefix": path, "inode": …, "bytes": …, "lines": 17}  all packages of the first 17 lines have
                                                           reached the disk, as it has itself

An unpacked package is renamed into its place before all of it has reached the disk, since there is
one wait for that in the making of a prefix. After a loss of power it may have empty files; so it is
used only by the machine, until that starts anew, unless a prefix was made after it.
"""

import errno
import json
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from registry.prefixes.whole_files import write_whole

#: The file, in the folder of what a root itself writes down.
FILE: Final = "made"
#: So many lines are there for nothing before they are left out.
_IDLE_LINES: Final = 1000
_START_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: Stands for every start of the machine.
_ANY: Final = ""


@dataclass(slots=True)
class Made:
    """What is written down."""

    #: Number of the directory's inode and bytes that were written, by path relative to the root.
    prefixes: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Bytes of unpacked packages, by name.
    packages: dict[str, int] = field(default_factory=dict)
    #: Names of packages that are as they were unpacked, whatever has happened to the machine.
    sound: set[str] = field(default_factory=set)
    lines: int = 0

    @property
    def size_bytes(self) -> int:
        """What all of it takes."""
        return sum(size for _, size in self.prefixes.values()) + sum(self.packages.values())


def note_prefix(folder: Path, path: str, inode: int, size_bytes: int, lines: int) -> None:
    """Write down a prefix that is about to be put at its path, and has reached the disk.

    Args:
        folder: Where it is written down.
        path: Of the prefix.
        inode: Of its directory.
        size_bytes: What was written for it.
        lines: How many lines there were before it was begun to have it reach the disk.

    Raises:
        OSError: It cannot be written down.
    """
    entry = {"prefix": path, "inode": inode, "bytes": size_bytes, "lines": lines}
    _append(folder, entry)


def note_package(folder: Path, name: str, size_bytes: int) -> None:
    """Write down an unpacked package that is about to be put in its place.

    Raises:
        OSError: It cannot be written down.
    """
    _append(folder, {"package": name, "bytes": size_bytes, "start": _start()})


def count_lines(folder: Path) -> int:
    """Return how many lines are written down.

    Raises:
        OSError: They are there and cannot be read.
    """
    try:
        return len((folder / FILE).read_bytes().splitlines())
    except FileNotFoundError:
        return 0


def read_made(folder: Path) -> Made:
    """Return what is written down; lines that say nothing are left out.

    Raises:
        OSError: It is there and cannot be read.
    """
    made = Made()
    try:
        data = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return made
    start, safe_lines = _start(), 0
    unpacked: dict[str, tuple[int, object]] = {}
    for line in data.splitlines():
        made.lines += 1
        try:
            entry = json.loads(line)
            size = int(entry["bytes"])
            if "prefix" in entry:
                made.prefixes[str(entry["prefix"])] = (int(entry["inode"]), size)
                safe_lines = max(safe_lines, int(entry["lines"]))
            else:
                name = str(entry["package"])
                made.packages[name] = size
                unpacked[name] = (made.lines, entry["start"])
        except (ValueError, LookupError, TypeError, RecursionError):  # half a line, say
            continue
    made.sound = {
        name
        for name, (number, unpacked_after) in unpacked.items()
        if number <= safe_lines or unpacked_after in {start, _ANY}
    }
    return made


def forget(folder: Path, made: Made, prefixes: Collection[str], packages: Collection[str]) -> None:
    """Leave out what is gone, now or, as long as that is little, later.

    Args:
        folder: Where it is written down.
        made: What is; is changed.
        prefixes: Paths of those that are there.
        packages: Names of those that are there.

    Raises:
        OSError: It cannot be written down.
    """
    made.prefixes = {path: one for path, one in made.prefixes.items() if path in prefixes}
    made.packages = {name: size for name, size in made.packages.items() if name in packages}
    if made.lines - len(made.prefixes) - len(made.packages) < _IDLE_LINES:
        return
    entries: list[dict[str, object]] = [
        {"prefix": path, "inode": inode, "bytes": size, "lines": 0}
        for path, (inode, size) in sorted(made.prefixes.items())
    ]
    # Files that a prefix was linked from are sound, and others are unpacked again at worst.
    entries += [
        {"package": name, "bytes": size, "start": _ANY}
        for name, size in sorted(made.packages.items())
        if name in made.sound
    ]
    write_whole(folder / FILE, b"".join(map(_line, entries)), 0o600, durable=True)
    made.lines = len(entries)


def _start() -> str:
    """Return what stands for this start of the machine."""
    try:
        return _START_ID.read_text("ascii").strip()
    except OSError:  # no /proc: nothing is believed
        return secrets.token_hex(16)


def _line(entry: dict[str, object]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _append(folder: Path, entry: dict[str, object]) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / FILE, flags, 0o600)
    try:
        # Begins with the end of a line: whoever was killed may have left half of one.
        line = b"\n" + _line(entry)
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / FILE))
    finally:
        os.close(descriptor)
