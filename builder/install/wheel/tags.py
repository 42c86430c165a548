"""Which wheels fit a platform: what their file names promise, compared with what an image has."""

from collections.abc import Collection

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from builder.errors import CorruptPackage, UnsupportedPackage
from builder.records import WheelRecord


def check_fits(record: WheelRecord, tags: Collection[Tag], target: str) -> None:
    """Refuse a wheel for another platform, Python or glibc.

    Args:
        record: The wheel.
        tags: Of :func:`builder.pypi.wheel_tags.supported_tags`.
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
    if named.isdisjoint(tags):
        raise UnsupportedPackage(
            f"the wheel {record.file_name} does not fit {target}; lock the environment for it"
        )
