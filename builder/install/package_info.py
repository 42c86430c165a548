"""What a package says about itself in its ``info/`` folder."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from builder.errors import CorruptPackage, UnsafePackage, UnsupportedPackage
from builder.install.noarch import EntryPoint, parse_entry_point
from builder.install.paths import is_unicode, path_fault, plain_path
from builder.records import NoarchKind, PackageRecord

PathType = Literal["hardlink", "softlink", "directory"]
FileMode = Literal["text", "binary"]

#: The members that are read; all others (recipes, tests, licences) are left alone.
INFO_MEMBERS: Final = frozenset(
    {
        "info/index.json",
        "info/paths.json",
        "info/files",
        "info/has_prefix",
        "info/link.json",
    }
)

#: What packages of 2014 and before mean when ``info/has_prefix`` names no placeholder.
_FIRST_PLACEHOLDER: Final = "/opt/anaconda1anaconda2anaconda3"
#: No prefix is longer, as Linux has no such path.
_MAX_PLACEHOLDER: Final = 4096
_WORD: Final = re.compile(r"[A-Za-z0-9_.!+~-]+")


@dataclass(frozen=True, slots=True)
class Relocation:
    """How the build prefix in a file is replaced."""

    #: The prefix the package was built in.
    placeholder: bytes
    mode: FileMode


@dataclass(frozen=True, slots=True)
class PackagePath:
    """One path as the package lists it, before any mapping."""

    path: str
    type: PathType
    relocation: Relocation | None = None
    #: 64 hex digits, if the package says.
    sha256: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PackageInfo:
    """The metadata of one package archive, checked."""

    #: ``info/index.json`` as it is.
    index: Mapping[str, Any]
    #: Everything that is installed, by path, in the order of the package.
    paths: Mapping[str, PackagePath]
    noarch: NoarchKind | None
    #: Of ``noarch: python`` packages only.
    entry_points: tuple[EntryPoint, ...]
    #: Every build prefix that occurs, the longest first.
    placeholders: tuple[str, ...]
    #: Whether :attr:`PackagePath.type` can be relied upon; packages of 2016 and before do not say.
    has_path_types: bool

    @property
    def name(self) -> str:
        """The package's name."""
        return str(self.index["name"])

    @property
    def version(self) -> str:
        """The package's version."""
        return str(self.index["version"])

    @property
    def build(self) -> str:
        """The build string."""
        return str(self.index["build"])

    @property
    def license(self) -> str:
        """The licence as the package names it; empty when it does not."""
        license_ = self.index.get("license")
        return license_ if isinstance(license_, str) else ""

    @property
    def python_site_packages_path(self) -> str | None:
        """Where this Python keeps noarch modules, for Pythons that say so."""
        path = self.index.get("python_site_packages_path")
        return path if isinstance(path, str) and path else None


def parse_info(label: str, files: Mapping[str, bytes]) -> PackageInfo:
    """Return the metadata from the ``info/`` members of a package.

    Args:
        label: Names the package in errors, e.g. ``"zlib-1.3-h0_0"``.
        files: The content of :data:`INFO_MEMBERS`, as far as they are there.

    Raises:
        CorruptPackage: Something is missing or malformed.
        UnsafePackage: A path leaves the prefix, or a name is no name.
        UnsupportedPackage: It has a type of path or of package that is not known.
    """
    index = _object(label, files, "info/index.json")
    if index is None:
        raise CorruptPackage(f"package '{label}' is damaged: it has no info/index.json")
    for key in ("name", "version", "build"):
        if not isinstance(index.get(key), str) or not _WORD.fullmatch(index[key]):
            raise UnsafePackage(f"package '{label}' has a {key} that is not one")
    listed = _object(label, files, "info/paths.json")
    paths = _listed(label, files) if listed is None else _paths(label, listed)
    noarch = _noarch(label, index)
    points = _entry_points(label, files) if noarch == "python" else ()
    placeholders = {p.relocation.placeholder.decode() for p in paths.values() if p.relocation}
    return PackageInfo(
        index=index,
        paths=paths,
        noarch=noarch,
        entry_points=points,
        placeholders=tuple(sorted(placeholders, key=lambda text: (-len(text), text))),
        has_path_types=listed is not None,
    )


def dist_name(record: PackageRecord) -> str:
    """Return conda's name of a build, e.g. ``"zlib-1.3-h0_0"``; for errors and ``conda-meta``."""
    return f"{record.name}-{record.version}-{record.build}"


def check_identity(record: PackageRecord, info: PackageInfo) -> None:
    """Refuse an archive that holds another package than its record says.

    Raises:
        CorruptPackage: Name, version or build differ.
    """
    # Channels spell a name in small letters, whatever the package does.
    found = f"{info.name.lower()}-{info.version}-{info.build}"
    if found != dist_name(record):
        raise CorruptPackage(
            f"package '{dist_name(record)}' is damaged: its archive holds '{found}' instead"
        )


def _object(label: str, files: Mapping[str, bytes], name: str) -> dict[str, Any] | None:
    if name not in files:
        return None
    try:
        value = json.loads(files[name])
    except (ValueError, RecursionError) as exc:
        raise CorruptPackage(f"package '{label}' is damaged: {name} is not JSON") from exc
    if not isinstance(value, dict):
        raise CorruptPackage(f"package '{label}' is damaged: {name} is not a JSON object")
    return value


def _noarch(label: str, index: Mapping[str, Any]) -> NoarchKind | None:
    kind = index.get("noarch")
    if kind in ("python", "generic", None):
        return kind
    # Before 2017 it said only whether.
    if kind is True:
        return "generic"
    if kind is False or kind == "":
        return None
    raise UnsupportedPackage(f"package '{label}' is noarch of an unknown kind")


def _entry_points(label: str, files: Mapping[str, bytes]) -> tuple[EntryPoint, ...]:
    link = _object(label, files, "info/link.json") or {}
    noarch = link.get("noarch")
    points = noarch.get("entry_points") if isinstance(noarch, dict) else None
    if points is None:
        return ()
    if not isinstance(points, list) or not all(isinstance(point, str) for point in points):
        raise CorruptPackage(f"package '{label}' is damaged: its entry points are not a list")
    return tuple(parse_entry_point(label, point) for point in points)


def _paths(label: str, listed: Mapping[str, Any]) -> dict[str, PackagePath]:
    version, entries = listed.get("paths_version", 1), listed.get("paths")
    if version != 1 or not isinstance(entries, list):
        raise UnsupportedPackage(f"package '{label}' has an info/paths.json of an unknown version")
    paths: dict[str, PackagePath] = {}
    # Anything may be in there, also what has no hash: hence tuples below, where sets would do.
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("_path"), str):
            raise CorruptPackage(f"package '{label}' is damaged: info/paths.json has no path")
        path = plain_path(entry["_path"])
        _check(label, path)
        kind = entry.get("path_type", "hardlink")
        if kind not in ("hardlink", "softlink", "directory"):
            raise UnsupportedPackage(f"path '{path}' of package '{label}' is of an unknown type")
        size, digest = entry.get("size_in_bytes"), entry.get("sha256")
        paths[path] = PackagePath(
            path,
            kind,
            _stated_relocation(label, path, entry),
            digest if isinstance(digest, str) else None,
            size if isinstance(size, int) else None,
        )
    return paths


def _listed(label: str, files: Mapping[str, bytes]) -> dict[str, PackagePath]:
    """Return the paths of a package from before ``info/paths.json`` (conda-build 2, 2016)."""
    if "info/files" not in files:
        raise CorruptPackage(f"package '{label}' is damaged: it has no list of its files")
    try:
        names = files["info/files"].decode().splitlines()
        prefixed = files.get("info/has_prefix", b"").decode().splitlines()
        relocations = dict(_prefixed(label, line) for line in prefixed if line.strip())
    except (UnicodeDecodeError, ValueError) as exc:
        raise CorruptPackage(f"package '{label}' is damaged: its list of files is none") from exc
    paths: dict[str, PackagePath] = {}
    for name in map(plain_path, names):
        if name.strip():
            _check(label, name)
            paths[name] = PackagePath(name, "hardlink", relocations.get(name))
    return paths


def _prefixed(label: str, line: str) -> tuple[str, Relocation | None]:
    """Return path and relocation from ``"<placeholder>" <mode> "<path>"``, or just a path."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    # Paths have apostrophes, backslashes and '#', and only '"' means something.
    lexer.quotes, lexer.escape, lexer.commenters = '"', "", ""
    words = list(lexer)
    if len(words) == 3:
        return plain_path(words[2]), _relocation(label, words[2], words[0], words[1].lower())
    return plain_path(line), _relocation(label, line, _FIRST_PLACEHOLDER, "text")


def _stated_relocation(label: str, path: str, entry: Mapping[str, Any]) -> Relocation | None:
    # Without a mode that is known nothing is replaced, as rattler does it.
    if entry.get("file_mode") not in ("text", "binary"):
        return None
    return _relocation(label, path, entry.get("prefix_placeholder"), entry["file_mode"])


def _relocation(label: str, path: str, placeholder: object, mode: object) -> Relocation | None:
    if placeholder is None or placeholder == "":
        return None
    if (
        not isinstance(placeholder, str)
        or "\0" in placeholder
        or not is_unicode(placeholder)
        or len(placeholder) > _MAX_PLACEHOLDER
    ):
        raise CorruptPackage(f"path '{path}' of package '{label}' has a malformed placeholder")
    if mode not in ("text", "binary"):
        raise UnsupportedPackage(f"path '{path}' of package '{label}' has an unknown file mode")
    return Relocation(placeholder.encode(), "text" if mode == "text" else "binary")


def _check(label: str, path: str) -> None:
    if fault := path_fault(path):
        raise UnsafePackage(f"path {path[:200]!r} of package '{label}' {fault}")
    if path == "info" or path.startswith("info/"):
        raise UnsafePackage(f"package '{label}' would install its own metadata at '{path}'")
