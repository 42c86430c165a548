"""Which wheels fit a platform: what their file names promise, compared with what an image has.

Source: PyPA's "Platform compatibility tags", PEP 600 (manylinux), PEP 703 (``t`` ABIs).
"""

from typing import Final

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from builder.errors import CorruptPackage, UnsupportedPackage
from builder.layer import PythonTarget
from builder.platforms import Subdir
from builder.records import WheelRecord

_MACHINES: Final[dict[Subdir, str]] = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
#: What manylinux was called before it was called by glibc's version; the minor after 2.
_OLD_NAMES: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
#: What conda takes for granted where a lock does not say.
_OLDEST_GLIBC: Final = "2.17"


def supported_tags(subdir: Subdir, python: PythonTarget, glibc: str | None) -> frozenset[Tag]:
    """Return the tags of the wheels that work for CPython on a platform.

    Args:
        subdir: The platform.
        python: The environment's Python.
        glibc: The version of the image's glibc, e.g. ``"2.36"``; ``None`` for one of 2014.

    Raises:
        UnsupportedPackage: glibc's version is none.
    """
    machine = _MACHINES[subdir]
    platforms = [f"linux_{machine}"]
    for minor in range(5, _glibc_minor(glibc or _OLDEST_GLIBC) + 1):
        platforms.append(f"manylinux_2_{minor}_{machine}")
        if minor in _OLD_NAMES:
            platforms.append(f"{_OLD_NAMES[minor]}_{machine}")
    major, minor = (int(part) for part in python.short.split("."))
    interpreter = f"cp{major}{minor}"
    is_threaded = f"python{python.short}t/" in python.site_packages
    abi = interpreter + "t" if is_threaded else interpreter
    return frozenset(
        [
            *cpython_tags((major, minor), [abi], platforms),
            *compatible_tags((major, minor), interpreter, platforms),
        ]
    )


def check_fits(record: WheelRecord, tags: frozenset[Tag], target: str) -> None:
    """Refuse a wheel for another platform, Python or glibc.

    Args:
        record: The wheel.
        tags: Of :func:`supported_tags`.
        target: Names what these stand for, e.g. ``"linux-64 with Python 3.11"``.

    Raises:
        CorruptPackage: The file's name is that of no wheel, or of another than the record says.
        UnsupportedPackage: It does not fit.
    """
    try:
        name, version, _, named = parse_wheel_filename(record.file_name)
        is_same = name == record.name and version == Version(record.version)
    except (InvalidWheelFilename, InvalidVersion):
        is_same, named = False, frozenset()
    if not is_same:
        raise CorruptPackage(
            f"'{record.file_name[:200]}' is not the name of a wheel of"
            f" {record.name} {record.version}; lock the environment again"
        )
    if not named & tags:
        raise UnsupportedPackage(
            f"the wheel {record.file_name} does not fit {target}; lock the environment for it"
        )


def _glibc_minor(version: str) -> int:
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    if major != "2" or not minor.isdecimal() or int(minor) > 999:
        raise UnsupportedPackage(f"'{version[:20]}' is no version of glibc that wheels could need")
    return int(minor)
