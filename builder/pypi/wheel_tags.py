"""Wheel tags of an environment, best first (PyPA's platform tags, PEP 600, PEP 703)."""

from typing import Final

from packaging.tags import Tag, compatible_tags, cpython_tags

from builder.errors import UnsupportedPackage
from builder.layer import PythonTarget
from builder.platforms import Subdir

#: What tags call a platform.
MACHINES: Final[dict[Subdir, str]] = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
#: What manylinux was called before it was called by glibc's version; the minor after 2.
_OLD_NAMES: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
#: What conda takes for granted where a lock does not say.
_OLDEST_GLIBC: Final = "2.17"


def supported_tags(subdir: Subdir, python: PythonTarget, glibc: str | None) -> dict[Tag, int]:
    """Return the tags of the wheels that work for CPython on a platform, with their rank.

    The best has 0, in the order that pip has: compiled before pure, for this Python before others,
    for the newest glibc first. Nothing of the Python or machine that asks goes in.

    Args:
        subdir: The platform.
        python: The environment's Python.
        glibc: The version of the image's glibc, e.g. ``"2.36"``; ``None`` for one of 2014.

    Raises:
        UnsupportedPackage: glibc's version is none.
    """
    machine = MACHINES[subdir]
    platforms = []
    for minor in range(glibc_minor(glibc), 4, -1):
        platforms.append(f"manylinux_2_{minor}_{machine}")
        if minor in _OLD_NAMES:
            platforms.append(f"{_OLD_NAMES[minor]}_{machine}")
    platforms.append(f"linux_{machine}")
    major, minor = (int(part) for part in python.short.split("."))
    interpreter = f"cp{major}{minor}"
    is_threaded = f"python{python.short}t/" in python.site_packages
    abi = interpreter + "t" if is_threaded else interpreter
    ranked = [
        *cpython_tags((major, minor), [abi], platforms),
        *compatible_tags((major, minor), interpreter, platforms),
    ]
    return {tag: rank for rank, tag in enumerate(dict.fromkeys(ranked))}


def glibc_minor(version: str | None) -> int:
    """Return the 36 of glibc 2.36; raises and defaults as :func:`supported_tags`."""
    version = version or _OLDEST_GLIBC
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    if major != "2" or not minor.isdecimal() or int(minor) > 999:
        raise UnsupportedPackage(f"'{version[:20]}' is no version of glibc that wheels could need")
    return int(minor)
