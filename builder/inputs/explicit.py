"""An ``@EXPLICIT`` list, as ``conda list --explicit`` writes it.

::

    # platform: linux-64
    @EXPLICIT
    https://conda.anaconda.org/conda-forge/linux-64/zlib-1.3.1-h4ab18f5_1.conda#9653f1bf3766…
    https://conda.anaconda.org/conda-forge/noarch/tzdata-2024a-h0c530f3_0.conda#sha256:7b2b69c5…

    # pip six @ https://files.pythonhosted.org/packages/d9/5a/six-1.16.0-py2.py3-none-any.whl#sha256=8abb…

What stands behind ``#`` is an md5, or after ``sha256:`` (or with 64 digits) a sha256; without it
the channel's own checksums count. A comment that begins with ``pip`` is a wheel, as conda-lock,
micromamba and this server write it. conda takes a list of addresses without the mark, too.
"""

import re
from typing import Final

from builder.errors import InputError
from builder.inputs.allowed import AllowedSources
from builder.inputs.document import Field
from builder.inputs.locked_packages import (
    chosen_platforms,
    listed_package,
    listed_wheel,
    package_list,
)
from builder.inputs.packages import PackageList
from builder.platforms import NOARCH, PLATFORMS
from builder.records import WheelRecord

MARK: Final = "@EXPLICIT"
_MAX_LINES: Final = 10_000
_MAX_LENGTH: Final = 1000
_PLATFORM = re.compile(r"#\s*platform:\s*([a-z0-9_-]+)")
_ADDRESS = re.compile(r"[a-z0-9]{1,10}://[^\s#]+(?:\.conda|\.tar\.bz2)(?:#[0-9A-Za-z:]*)?")
_PIP: Final = "# pip "
_WHEEL = re.compile(r"# pip\s+[A-Za-z0-9._-]+(?:\[[^\]]*\])?\s*@\s*([^\s#]+)(?:#sha256[=:](\S+))?")


def is_explicit(text: str) -> bool:
    """Tell whether ``text`` is such a list: it has the mark, or holds addresses alone."""
    lines = [line.strip() for line in text.split("\n")]
    if MARK in text and MARK in lines:
        return True
    entries = [line for line in lines if line and not line.startswith("#")]
    return bool(entries) and all(_ADDRESS.fullmatch(entry) for entry in entries)


def read_explicit(text: str, allowed: AllowedSources) -> PackageList:
    """Return the packages of an ``@EXPLICIT`` list.

    Raises:
        InputError: A line is no package of a channel of this server, or the platform is unclear.
    """
    lines = text.split("\n")
    if len(lines) > _MAX_LINES:
        raise InputError(f"the list has {len(lines)} lines, and {_MAX_LINES} are allowed")
    listed, wheels, commented = [], [], set()
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if match := _PLATFORM.fullmatch(entry):
            commented.add(match[1])
        is_wheel = entry.startswith(_PIP)
        if not entry or entry == MARK or (entry.startswith("#") and not is_wheel):
            continue
        if len(entry) > _MAX_LENGTH or not entry.isprintable():
            raise InputError("the line is too long, or cannot be printed", line=number)
        field = Field("text", entry, line=number)
        if is_wheel:
            wheels.append(_wheel(field, allowed))
            continue
        url, _, checksum = entry.partition("#")
        listed.append(listed_package(field, url, _hashes(checksum), allowed))
    # What lies elsewhere than in its channel may lie in a directory of any name.
    lying = {p.place.path.partition("/")[0] for p in listed if not p.place.elsewhere}
    lying |= {p.place.path.partition("/")[0] for p in listed} & set(PLATFORMS)
    subdirs = lying - {NOARCH}
    named = sorted(commented | subdirs)
    if len(named) != 1:
        raise InputError(
            f"the list is for {' and '.join(named)[:100] or 'no certain platform'}: it must be for"
            " one, which a line such as '# platform: linux-64' says"
        )
    platform = chosen_platforms(Field("text", text), named, allowed)[0]
    return package_list(allowed, {platform: listed}, {platform: wheels})


def _wheel(field: Field, allowed: AllowedSources) -> WheelRecord:
    match = _WHEEL.fullmatch(field.written)
    if match is None:
        raise field.error(
            "a line that begins with '# pip' means a package of PyPI: write"
            " '# pip NAME @ ADDRESS#sha256=DIGITS', or take it out"
        )
    return listed_wheel(field, match[1], match[2], allowed)


def _hashes(checksum: str) -> dict[str, str | None]:
    checksum = checksum.lower()
    if checksum.startswith("sha256:") or len(checksum) == 64:
        return {"sha256": checksum.removeprefix("sha256:")}
    return {"md5": checksum or None}
