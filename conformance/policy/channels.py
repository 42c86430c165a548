"""Two channels with something for every rule, made of the local channel's packages.

The packages are the same files; what indexes say of some of them is changed: when they were
published, and what licence they have.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from conformance.channel import ChannelPaths

#: What the channels are called, and the folder that each is in.
MAIN: Final = "conda-forge"
SPECIAL: Final = "bioconda"

#: Its newest version, 8.5.0, was published yesterday.
YOUNG: Final = "click"
#: Every version of it is under a licence that is to be refused.
COPYLEFT: Final = "six"
#: It is in the second channel alone.
BIOLOGICAL: Final = "webcolors"
#: What there is an advisory for, with the version that mends it and one before.
VULNERABLE, FIXED, AFFECTED = "urllib3", "2.8.0", "2.4.0"

_SUBDIRS: Final = ("linux-64", "linux-aarch64", "noarch")
_DAY_SECONDS: Final = 86_400

Record = dict[str, Any]


def make_channels(paths: ChannelPaths, root: Path) -> None:
    """Make ``root/conda-forge`` and ``root/bioconda``; the packages are links."""
    for name, belongs in ((MAIN, _is_main), (SPECIAL, _is_special)):
        for subdir in _SUBDIRS:
            folder = root / name / subdir
            folder.mkdir(parents=True)
            there = paths.channel / subdir
            index = json.loads((there / "repodata.json").read_text(encoding="utf-8"))
            for kind in ("packages", "packages.conda"):
                index[kind] = dict(_taken(index[kind], belongs))
                for file in index[kind]:
                    _link(there / file, folder / file)
            (folder / "repodata.json").write_text(json.dumps(index), encoding="utf-8")


def _link(file: Path, new: Path) -> None:
    """Have a file at a second place; what serves them does not follow symbolic links out."""
    try:
        new.hardlink_to(file)
    except OSError:  # on another file system
        shutil.copyfile(file, new)


def _taken(
    records: dict[str, Record], belongs: Callable[[Record], bool]
) -> Iterator[tuple[str, Record]]:
    """Return the records of one channel, by file, with what is changed of them."""
    for file, record in records.items():
        if not belongs(record):
            continue
        changed = dict(record)
        if record["name"] == YOUNG and record["version"] == "8.5.0":
            changed["timestamp"] = int((time.time() - _DAY_SECONDS) * 1000)
        if record["name"] == COPYLEFT:
            changed["license"] = "GPL-3.0-or-later"
        yield file, changed


def _is_special(record: Record) -> bool:
    return bool(record["name"] == BIOLOGICAL)


def _is_main(record: Record) -> bool:
    return not _is_special(record)
