"""What the extras of a Python distribution need, from its metadata inside a conda package."""

import re
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from builder.install.archive import PackageArchive
from builder.install.distributions import distributions_of
from builder.install.limits import Limits
from builder.install.package_info import dist_name
from builder.records import PackageRecord

#: Longer than any that is known by far; the description is part of it.
_MAX_BYTES: Final = 8 * 1024 * 1024
_METADATA_FILE: Final = re.compile(r".*(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info)")


def read_extras(
    archive: Path, record: PackageRecord, distribution: str, limits: Limits | None = None
) -> tuple[str, ...]:
    """Return what the extras of ``distribution`` need, sorted; none if it does not say.

    Args:
        archive: Of the package.
        record: The package.
        distribution: A normalized name.
        limits: As for :class:`PackageArchive`.

    Returns:
        Requirements as PEP 508 writes them, each with a marker such as ``extra == "socks"``;
        those with an address are left out, as no wheel of an index can meet them.

    Raises:
        CorruptPackage: The archive is damaged.
        UnsafePackage: It unpacks to too much.
        UnsupportedPackage: It is of a kind that is not known.
    """
    for file in PackageArchive(archive, dist_name(record), limits).files():
        if file.kind != "file" or not _METADATA_FILE.fullmatch(file.path):
            continue
        named = [name for name, _ in distributions_of([file.path])]
        if named == [distribution] and file.size_bytes <= _MAX_BYTES:
            return _extras(file.read().decode(errors="replace"))
    return ()


def _extras(metadata: str) -> tuple[str, ...]:
    found = set()
    for text in HeaderParser().parsestr(metadata).get_all("Requires-Dist", []):
        try:
            needed = Requirement(str(text))
        except InvalidRequirement:
            continue
        if not needed.url and "extra" in str(needed.marker or ""):
            found.add(str(needed))
    return tuple(sorted(found))
