"""What a wheel installs, known without it once it has been read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from builder.install.limits import Limits
from builder.install.noarch import bytecode_path, need_python
from builder.install.wheel.archive import WheelArchive, installed_members
from builder.install.wheel.info import wheel_label
from builder.install.wheel.scheme import command_paths, installed_member, is_module
from builder.layer import PythonTarget
from builder.records import WheelRecord

#: Raised when the meaning of stored contents changes; never that of a conda package's.
_FORMAT: Final = "wheel-2"


@dataclass(frozen=True, slots=True)
class WheelContents:
    """What planning an image must know of one wheel; the same whatever it is installed for."""

    #: ``name-version``, for errors.
    label: str
    #: What the wheel's own directories are called, e.g. ``"six-1.17.0"``.
    stem: str
    #: The members that are installed, as in the archive, sorted.
    paths: tuple[str, ...]
    #: Where the scripts of entry points are in the prefix, for :func:`command_paths`, sorted.
    entry_point_paths: tuple[str, ...] = ()
    #: As the project says it: an expression, or words; empty when it does not.
    license: str = ""


def read_wheel_contents(
    archive: Path, record: WheelRecord, limits: Limits | None = None
) -> WheelContents:
    """Return the contents of a wheel; only its metadata is read.

    Raises:
        CorruptPackage: The wheel is damaged, or is another than its record says.
        UnsafePackage: A path leaves the prefix, or it unpacks to too much.
        UnsupportedPackage: It has what wheels should not have.
    """
    info = WheelArchive(archive, record, limits).read_info()
    return WheelContents(
        label=wheel_label(record),
        stem=info.stem,
        paths=tuple(sorted(installed_members(info))),
        entry_point_paths=tuple(sorted(info.entry_points)),
        license=info.license,
    )


def wheel_paths(contents: WheelContents, python: PythonTarget | None) -> tuple[str, ...]:
    """Return every path that the wheel puts into the prefix, sorted, each once.

    That includes entry points, what an installer notes, and the bytecode of every module, whether
    or not the module will compile.

    Raises:
        CorruptPackage: A path goes nowhere.
        UnsafePackage: A path is conda's.
        UnsupportedPackage: There is no Python.
    """
    target = need_python(contents.label, python)
    paths = set(command_paths(contents.entry_point_paths, contents.stem, target))
    for path in (*contents.paths, *written_members(contents.stem)):
        installed = installed_member(path, contents.stem, target)
        paths.add(installed)
        if is_module(installed, target):
            paths.add(bytecode_path(installed, target))
    return tuple(sorted(paths))


def written_members(stem: str) -> tuple[str, str]:
    """Return what an installer writes beside a wheel's metadata: INSTALLER and RECORD."""
    return f"{stem}.dist-info/INSTALLER", f"{stem}.dist-info/RECORD"


def dump_wheel_contents(contents: WheelContents) -> bytes:
    """Return the contents as JSON, the same bytes for equal contents."""
    return json.dumps({"format": _FORMAT, **asdict(contents)}, sort_keys=True).encode()


def parse_wheel_contents(data: bytes) -> WheelContents:
    """Return what :func:`dump_wheel_contents` wrote.

    Raises:
        ValueError: The data are not such JSON, or of another format: read the wheel again.
    """
    values = json.loads(data)
    if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
        raise ValueError("these are not the contents of a wheel in the present format")
    for name in ("paths", "entry_point_paths"):
        values[name] = tuple(values[name])
    return WheelContents(**values)
