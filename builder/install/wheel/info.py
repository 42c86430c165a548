"""What a wheel says about itself in its ``.dist-info`` directory.

Source: PyPA's "Binary distribution format", "Recording installed projects", "Core metadata" and
"Entry points".
"""

import configparser
import csv
import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Final

from packaging.metadata import RawMetadata, parse_email
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from builder.errors import CorruptPackage, UnsafePackage, UnsupportedPackage
from builder.install.noarch import EntryPoint, parse_entry_point
from builder.records import WheelRecord

#: The members that are read; WHEEL, METADATA and RECORD must be there.
INFO_MEMBERS: Final = ("WHEEL", "METADATA", "RECORD", "entry_points.txt")
#: What only an installer may say.
NOT_INSTALLED: Final = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"})
#: Weaker ones are forbidden by the format.
_ALGORITHMS: Final = frozenset({"sha256", "sha384", "sha512"})
_USUAL_ALGORITHM: Final = "sha256"
_SCRIPT_SECTIONS: Final = ("console_scripts", "gui_scripts")
#: Before licences had expressions, some projects put the whole text there.
_MAX_LICENSE: Final = 100


@dataclass(frozen=True, slots=True)
class WheelInfo:
    """The metadata of one wheel, checked."""

    #: What its own directories are called, e.g. ``"six-1.17.0"``.
    stem: str
    #: How each file of the archive is hashed, e.g. ``"sha256"``, by its path: as RECORD does it and
    #: in its order, then what RECORD leaves out.
    algorithms: Mapping[str, str]
    #: By the path of the script, relative to the prefix.
    entry_points: Mapping[str, EntryPoint]
    #: As the project says it: an expression, or words; empty when it does not.
    license: str


def wheel_label(record: WheelRecord) -> str:
    """Return how errors name the wheel, e.g. ``"six-1.17.0"``."""
    return f"{record.name}-{record.version}"


def find_stem(label: str, names: Iterable[str]) -> str:
    """Return what the wheel's own directories are called, e.g. ``"six-1.17.0"``.

    Raises:
        CorruptPackage: There is not exactly one ``.dist-info`` directory.
    """
    found = {name.partition("/")[0] for name in names if "/" in name}
    stems = [name.removesuffix(".dist-info") for name in found if name.endswith(".dist-info")]
    if len(stems) != 1:
        raise CorruptPackage(
            f"package '{label}' is damaged: it does not have exactly one .dist-info directory"
        )
    return stems[0]


def parse_wheel_info(
    record: WheelRecord, stem: str, files: Mapping[str, bytes], members: Collection[str]
) -> WheelInfo:
    """Return the metadata of a wheel.

    Args:
        record: What it should be.
        stem: Of :func:`find_stem`.
        files: The content of :data:`INFO_MEMBERS`, as far as they are there.
        members: The paths of all files, in the order of the archive.

    Raises:
        CorruptPackage: Something is missing or malformed, or it is another project or version.
        UnsafePackage: An entry point is none.
        UnsupportedPackage: It is of a version of the format that is not known.
    """
    label = wheel_label(record)
    for name in ("WHEEL", "METADATA", "RECORD"):
        if name not in files:
            raise CorruptPackage(f"package '{label}' is damaged: it has no {name}")
    _check_format(label, files["WHEEL"])
    metadata, _ = parse_email(files["METADATA"])
    _check_identity(record, metadata.get("name", ""), metadata.get("version", ""))
    # The directory's own version may be another, of a build that was renamed.
    _check_identity(record, stem.rpartition("-")[0], record.version)
    return WheelInfo(
        stem=stem,
        algorithms=_algorithms(label, files["RECORD"], members),
        entry_points=_entry_points(label, files.get("entry_points.txt", b"")),
        license=_license(metadata),
    )


def _check_format(label: str, data: bytes) -> None:
    version = HeaderParser().parsestr(data.decode()).get("Wheel-Version", "")
    if version.partition(".")[0].strip() != "1":
        raise UnsupportedPackage(f"package '{label}' is a wheel of a format that is not known")


def _check_identity(record: WheelRecord, name: str, version: str) -> None:
    try:
        is_same = canonicalize_name(name) == record.name and Version(version) == Version(
            record.version
        )
    except InvalidVersion:
        is_same = False
    if not is_same:
        raise CorruptPackage(
            f"package '{wheel_label(record)}' is damaged: its archive holds"
            f" '{name[:100]}-{version[:100]}' instead"
        )


def _algorithms(label: str, data: bytes, members: Collection[str]) -> dict[str, str]:
    try:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    except (ValueError, csv.Error) as exc:
        raise CorruptPackage(f"package '{label}' is damaged: its RECORD cannot be read") from exc
    known = set(members)
    named = {}
    for path, hashed, *_ in ([*row, ""] for row in rows if row):
        algorithm = hashed.partition("=")[0]
        if path in known:
            named[path] = algorithm if algorithm in _ALGORITHMS else _USUAL_ALGORITHM
    return named | {path: _USUAL_ALGORITHM for path in members if path not in named}


def _entry_points(label: str, data: bytes) -> dict[str, EntryPoint]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    # Commands differ in case; configparser would not.
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    try:
        parser.read_string(data.decode())
    except (UnicodeDecodeError, configparser.Error) as exc:
        raise UnsafePackage(f"package '{label}' has entry points that cannot be read") from exc
    points = [
        parse_entry_point(label, f"{command} = {target}")
        for section in _SCRIPT_SECTIONS
        if parser.has_section(section)
        for command, target in parser.items(section)
    ]
    return {point.path: point for point in points}


def _license(metadata: RawMetadata) -> str:
    if expression := metadata.get("license_expression", "").strip():
        return expression
    words = metadata.get("license", "").strip()
    if words not in {"", "UNKNOWN"} and len(words) <= _MAX_LICENSE and "\n" not in words:
        return words
    names = (
        classifier.rpartition("::")[2].strip()
        for classifier in metadata.get("classifiers", [])
        if classifier.startswith("License ::")
    )
    return "; ".join(names)
