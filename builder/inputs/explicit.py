"""An ``@EXPLICIT`` list, as ``conda list --explicit`` writes it.

::

    # platform: linux-64
    @EXPLICIT
    https://conda.anaconda.org/conda-forge/linux-64/zlib-1.3.1-h4ab18f5_1.conda#9653f1bf3766…
    https://conda.anaconda.org/conda-forge/noarch/tzdata-2024a-h0c530f3_0.conda#sha256:7b2b69c5…

What stands behind ``#`` is an md5, or after ``sha256:`` (or with 64 digits) a sha256; without it
the channel's own checksums count.
"""

import re
from typing import Final

from builder.errors import InputError
from builder.inputs.document import Field
from builder.inputs.listing import chosen_platforms, listed_package, package_list
from builder.inputs.offers import Offers
from builder.inputs.packages import PackageList
from builder.platforms import NOARCH

MARK: Final = "@EXPLICIT"
_MAX_LINES: Final = 10_000
_MAX_LENGTH: Final = 1000
_PLATFORM = re.compile(r"#\s*platform:\s*([a-z0-9-]+)")


def is_explicit(text: str) -> bool:
    """Tell whether a line of ``text`` is the mark of such a list."""
    return MARK in text and any(line.strip() == MARK for line in text.split("\n"))


def read_explicit(text: str, offers: Offers) -> PackageList:
    """Return the packages of an ``@EXPLICIT`` list.

    Raises:
        InputError: A line is no package of a channel of this server, or the platform is unclear.
    """
    lines = text.split("\n")
    if len(lines) > _MAX_LINES:
        raise InputError(f"the list has {len(lines)} lines, and {_MAX_LINES} are allowed")
    listed, commented = [], set()
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if match := _PLATFORM.fullmatch(entry):
            commented.add(match[1])
        if not entry or entry.startswith("#") or entry == MARK:
            continue
        if len(entry) > _MAX_LENGTH or not entry.isprintable():
            raise InputError("the line is too long, or cannot be printed", line=number)
        url, _, checksum = entry.partition("#")
        field = Field("text", entry, line=number)
        listed.append(listed_package(field, url, _hashes(checksum), offers))
    subdirs = {package.place.path.partition("/")[0] for package in listed} - {NOARCH}
    named = sorted(commented | subdirs)
    if len(named) != 1:
        raise InputError(
            f"the list is for {' and '.join(named)[:100] or 'no certain platform'}: it must be for"
            " one, which a line such as '# platform: linux-64' says"
        )
    platform = chosen_platforms(Field("text", text), named, offers)[0]
    return package_list(offers, {platform: listed})


def _hashes(checksum: str) -> dict[str, str | None]:
    checksum = checksum.lower()
    if checksum.startswith("sha256:") or len(checksum) == 64:
        return {"sha256": checksum.removeprefix("sha256:")}
    return {"md5": checksum or None}
