"""What a package installs, known without its archive once it has been read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from builder.install.activation import (
    ActivationBounds,
    ActivationFile,
    is_activation,
    read_activation,
)
from builder.install.archive import PackageArchive, PackageFile
from builder.install.distributions import distributions_of
from builder.install.limits import Limits
from builder.install.noarch import bytecode_path, installed_path, is_compiled, need_python
from builder.install.package_info import PackageInfo, check_identity, dist_name
from builder.install.relocate import relocate, relocate_target
from builder.layer import PythonTarget
from builder.records import PackageRecord

#: Raised when the meaning of stored contents changes.
_FORMAT: Final = 4


@dataclass(frozen=True, slots=True)
class PackageContents:
    """What planning an image must know of one package; the same whatever it is installed for."""

    #: ``name-version-build``, for errors.
    label: str
    #: Files, links and empty directories as in the archive: before ``noarch: python`` is mapped.
    paths: tuple[str, ...]
    #: The symlinks among them with their targets; the build prefix is replaced.
    links: Mapping[str, str] = field(default_factory=dict)
    is_noarch_python: bool = False
    #: Where the scripts of entry points are, relative to the prefix.
    entry_point_paths: tuple[str, ...] = ()
    #: Those of the paths that are directories, which may be empty.
    directories: tuple[str, ...] = ()
    #: What activation reads, path to what it sets, or to a script's text where that takes a shell;
    #: the build prefix is replaced.
    activation: Mapping[str, ActivationFile] = field(default_factory=dict)
    #: Paths of scripts that nothing runs: link scripts, and what is too long or too much.
    skipped_scripts: tuple[str, ...] = ()
    #: Of all files together, as the package lists them.
    size_bytes: int = 0
    #: The Python distributions inside: name (PEP 503) and version, sorted.
    distributions: tuple[tuple[str, str], ...] = ()
    #: As the package says it, e.g. ``"BSD-3-Clause"``; empty when it does not.
    license: str = ""


def read_contents(
    archive: Path, record: PackageRecord, limits: Limits | None = None
) -> PackageContents:
    """Return the contents of an archive; its payload is read only as far as it must be.

    Raises:
        CorruptPackage: The archive is damaged, or is another package than its record says.
        UnsafePackage: A path leaves the prefix, or it unpacks to too much.
        UnsupportedPackage: It is of a kind that is not known.
    """
    label = dist_name(record)
    reader = PackageArchive(archive, label, limits)
    info = reader.read_info()
    check_identity(record, info)
    links, scripts = _read_payload(reader, info)
    activation, skipped = read_activation(info, scripts)
    return PackageContents(
        label=label,
        paths=tuple(sorted(info.paths)),
        links=links,
        is_noarch_python=info.noarch == "python",
        entry_point_paths=tuple(sorted({point.path for point in info.entry_points})),
        directories=tuple(
            sorted(path for path, known in info.paths.items() if known.type == "directory")
        ),
        activation=activation,
        skipped_scripts=tuple(skipped),
        size_bytes=sum(path.size_bytes or 0 for path in info.paths.values()),
        distributions=distributions_of(info.paths),
        license=info.license,
    )


def installed_paths(contents: PackageContents, python: PythonTarget | None) -> tuple[str, ...]:
    """Return every path that the package puts into the prefix, sorted, each once.

    For ``noarch: python`` that includes entry points and the bytecode of every module, whether or
    not the module will compile. The package's record in ``conda-meta`` is left out: no other
    package has it.

    Raises:
        UnsupportedPackage: The package needs a Python, and there is none.
    """
    if not contents.is_noarch_python:
        return contents.paths
    target = need_python(contents.label, python)
    paths = set(contents.entry_point_paths)
    for path in contents.paths:
        installed = installed_path(path, target)
        paths.add(installed)
        if is_compiled(path):
            paths.add(bytecode_path(installed, target))
    return tuple(sorted(paths))


def installed_links(contents: PackageContents, python: PythonTarget | None) -> dict[str, str]:
    """Return the symlinks that the package puts into the prefix, with their targets.

    Raises:
        UnsupportedPackage: The package needs a Python, and there is none.
    """
    if not contents.is_noarch_python:
        return dict(contents.links)
    target = need_python(contents.label, python)
    return {installed_path(path, target): link for path, link in contents.links.items()}


def dump_contents(contents: PackageContents) -> bytes:
    """Return the contents as JSON, the same bytes for equal contents."""
    return json.dumps({"format": _FORMAT, **asdict(contents)}, sort_keys=True).encode()


def parse_contents(data: bytes) -> PackageContents:
    """Return what :func:`dump_contents` wrote.

    Raises:
        ValueError: The data are not such JSON, or of another format: read the archive again.
    """
    values = json.loads(data)
    if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
        raise ValueError("these are not the contents of a package in the present format")
    for name in ("paths", "directories", "entry_point_paths", "skipped_scripts"):
        values[name] = tuple(values[name])
    values["distributions"] = tuple((name, version) for name, version in values["distributions"])
    return PackageContents(**values)


def _read_payload(
    reader: PackageArchive, info: PackageInfo
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the targets of symlinks and the content of activation scripts.

    Packages without either, which are most, are not read at all; others to the last of them.
    """
    wanted = {
        path
        for path, known in info.paths.items()
        if known.type == "softlink" or not info.has_path_types or is_activation(path)
    }
    links: dict[str, str] = {}
    scripts: dict[str, bytes] = {}
    bounds = ActivationBounds()
    if not wanted:
        return links, scripts
    for file in reader.files():
        if file.path not in wanted:
            continue
        wanted.discard(file.path)
        if file.kind == "symlink":
            links[file.path] = relocate_target(file.link, info)
        elif file.kind == "file" and is_activation(file.path):
            # Else it is one that is skipped.
            scripts[file.path] = _script(file, info) if bounds.take(file.size_bytes) else b"\0"
        if not wanted:
            break
    return dict(sorted(links.items())), scripts


def _script(file: PackageFile, info: PackageInfo) -> bytes:
    relocation = info.paths[file.path].relocation
    return b"".join(relocate(file.chunks(), relocation)) if relocation else file.read()
