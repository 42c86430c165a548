"""The directory of an unpacked package.

::

    <name>/
      tree/<path>      what is the same in every prefix: files where they are installed, with their
                       modes and times; hard links of the package are hard links here
      parts/<n>        content of the n-th file that is not: with its placeholder, or as a template
      package.json     what is to be done with them; is written last

A package that has ``package.json`` is whole, as directories are renamed into their place.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from builder.install.package_info import FileMode
from builder.records import canonical_json

#: Raised when the meaning of an unpacked package changes.
FORMAT: Final = 1
TREE: Final = "tree"
PARTS: Final = "parts"
INDEX: Final = "package.json"


@dataclass(frozen=True, slots=True)
class PrefixedFile:
    """A file that holds the prefix; it is written anew for each."""

    #: Relative to the prefix.
    path: str
    #: Number of its content in ``parts``.
    part: int
    #: As its files in ``tree`` have it: e.g. ``0o555``.
    mode: int
    #: Seconds since 1970.
    mtime: int
    #: What is replaced; empty: its content is a template (:mod:`builder.install.prefix.rendering`).
    placeholder: str
    file_mode: FileMode


@dataclass(frozen=True, slots=True)
class UnpackedPackage:
    """What an unpacked package consists of; all paths are relative to the prefix, and sorted."""

    #: ``name-version-build``, for errors.
    label: str
    #: Every directory that it has something in, or that it lists; parents come first.
    directories: tuple[str, ...]
    #: Those of ``tree``.
    shared: tuple[str, ...]
    #: Path and target; a target in the prefix is ``builder.layer.PREFIX``, or begins with it and a
    #: slash.
    symlinks: tuple[tuple[str, str], ...]
    #: Templates come last, as they name hashes of the others.
    prefixed: tuple[PrefixedFile, ...]
    #: Of all files of ``tree``, each inode once.
    size_bytes: int


def write_index(directory: Path, package: UnpackedPackage) -> None:
    """Write what an unpacked package consists of, after all else."""
    content = {
        "format": FORMAT,
        "label": package.label,
        "directories": package.directories,
        "shared": package.shared,
        "symlinks": package.symlinks,
        "prefixed": [
            [file.path, file.part, file.mode, file.mtime, file.placeholder, file.file_mode]
            for file in package.prefixed
        ],
        "size_bytes": package.size_bytes,
    }
    (directory / INDEX).write_bytes(canonical_json(content).encode())


def read_unpacked(directory: Path) -> UnpackedPackage:
    """Return what an unpacked package consists of.

    Raises:
        ValueError: The directory is not a whole unpacked package of this format.
    """
    try:
        content = json.loads((directory / INDEX).read_bytes())
        return _package(content)
    except (FileNotFoundError, NotADirectoryError, KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"{directory} is no whole unpacked package: {exc}") from exc


def _package(content: Mapping[str, Any]) -> UnpackedPackage:
    written = content["format"]
    if written != FORMAT:
        raise ValueError(f"its format is {written}, not {FORMAT}")
    return UnpackedPackage(
        label=content["label"],
        directories=tuple(content["directories"]),
        shared=tuple(content["shared"]),
        symlinks=tuple((path, target) for path, target in content["symlinks"]),
        prefixed=tuple(PrefixedFile(*fields) for fields in content["prefixed"]),
        size_bytes=content["size_bytes"],
    )
