"""Hostile, broken and tiny conda packages for tests, written byte for byte the same every time.

The packages of the local channel are packed by others' tools: see `packing` and `recipes`.

A `Package` says what is inside, `write_package` puts it into a channel directory:

>>> tiny = Package("tiny", "1.0", entries=[Entry("share/tiny.txt", data=b"tiny")])
>>> tiny.filename
'tiny-1.0-0.conda'
>>> package_bytes(tiny) == package_bytes(tiny)
True

The layout of a package is described by conda-build's documentation and CEP 26; `.conda` is a zip of
two zstd tars (`info-*` and `pkg-*`), `.tar.bz2` is one tar.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import posixpath
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import zstandard

#: What packages call the directory that they will be installed to; 255 characters, as always.
PLACEHOLDER = ("/opt/_channel_build_" + "placehold_" * 40)[:255]
#: 2020-01-01, the age of what has no upload time: older than every date that a test asks for.
EPOCH_SECONDS = 1_577_836_800
#: Level 3 is four times as fast as conda-forge's 19, and the channel is thrown away soon.
LEVEL = 3

PrefixMode = Literal["text", "binary"]
Member = tuple[tarfile.TarInfo, bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a package: a file unless `link`, `hardlink` or `directory` says otherwise."""

    #: Relative to the prefix, with slashes.
    path: str
    data: bytes = b""
    #: Target of a symbolic link.
    link: str | None = None
    #: Path of another entry of the package; written as a tar hard link to it.
    hardlink: str | None = None
    #: An empty directory.
    directory: bool = False
    mode: int = 0o644
    #: How the placeholder in `data` is to be replaced; found out by `write_package` when `None`.
    prefix_mode: PrefixMode | None = None
    placeholder: str = PLACEHOLDER


@dataclass(frozen=True, slots=True)
class Package:
    """What one package file says about itself and contains."""

    name: str
    version: str
    build: str = "0"
    build_number: int = 0
    #: `"linux-64"`, `"linux-aarch64"` or `"noarch"`.
    subdir: str = "noarch"
    noarch: Literal["python", "generic"] | None = "generic"
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    entries: tuple[Entry, ...] | list[Entry] = ()
    #: `name = module:function`, of noarch Python packages only.
    entry_points: tuple[str, ...] = ()
    #: When it was published; also the mtime of every member.
    timestamp_ms: int = EPOCH_SECONDS * 1000
    license: str = ""
    summary: str = ""
    home: str = ""
    track_features: str | None = None
    python_site_packages_path: str | None = None
    #: Members of `info/` that replace or join the generated ones, by path.
    extra_info: dict[str, bytes] = field(default_factory=dict)
    extension: Literal[".conda", ".tar.bz2"] = ".conda"

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def filename(self) -> str:
        """`<name>-<version>-<build>` and the extension."""
        return self.stem + self.extension


def write_package(package: Package, channel: Path, level: int = LEVEL) -> Path:
    """Write `package` into the subdir of `channel` that it belongs to; return the file.

    The file appears whole or not at all. Call `conformance.channel.index.index_channel` afterwards.
    """
    path = channel / package.subdir / package.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(package_bytes(package, level))
    return part.replace(path)


def package_bytes(package: Package, level: int = LEVEL) -> bytes:
    """The package file. The same package gives the same bytes."""
    entries = described_entries(package)
    content = content_members(entries, package.timestamp_ms // 1000)
    return archive_bytes(package, content, info_members(package, entries), level)


def described_entries(package: Package) -> list[Entry]:
    """The entries by path, each with its `prefix_mode`."""
    return [_with_prefix_mode(e) for e in sorted(package.entries, key=lambda e: e.path)]


def archive_bytes(
    package: Package, content: Iterable[Member], info: Iterable[Member], level: int = LEVEL
) -> bytes:
    """A package file of exactly these tar members, sensible or not (hostile packages need both)."""
    if package.extension == ".tar.bz2":
        return bz2.compress(tar_bytes([*info, *content]), 9)
    return conda_bytes(
        package.stem,
        zstandard.compress(tar_bytes(content), level),
        zstandard.compress(tar_bytes(info), level),
    )


def conda_bytes(stem: str, content: bytes, info: bytes) -> bytes:
    """The zip that a `.conda` file is, around two compressed tars."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            ("metadata.json", b'{"conda_pkg_format_version": 2}'),
            (f"pkg-{stem}.tar.zst", content),
            (f"info-{stem}.tar.zst", info),
        ):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return out.getvalue()


def tar_bytes(members: Iterable[Member]) -> bytes:
    """An uncompressed tar of the members in the order given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def file_member(path: str, data: bytes, mtime: int = EPOCH_SECONDS, mode: int = 0o644) -> Member:
    """A regular file as a tar member."""
    info = tarfile.TarInfo(path)
    info.size, info.mtime, info.mode = len(data), mtime, mode
    return info, data


def content_members(entries: Iterable[Entry], mtime: int) -> list[Member]:
    """Tar members of the entries; hard links come last, since their targets must be there first."""
    plain: list[Member] = []
    hardlinks: list[Member] = []
    for entry in entries:
        info, data = file_member(entry.path, entry.data, mtime, entry.mode)
        if entry.link is None and entry.hardlink is None and not entry.directory:
            plain.append((info, data))
            continue
        info.size = 0
        if entry.directory:
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        elif entry.link is not None:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        else:
            info.type, info.linkname = tarfile.LNKTYPE, entry.hardlink or ""
        (hardlinks if entry.hardlink is not None else plain).append((info, b""))
    return plain + hardlinks


def info_members(package: Package, entries: list[Entry]) -> list[Member]:
    """The `info/` folder of the package as tar members, sorted."""
    files = info_files(package, entries) | package.extra_info
    mtime = package.timestamp_ms // 1000
    return [file_member(path, data, mtime) for path, data in sorted(files.items())]


def info_files(package: Package, entries: list[Entry]) -> dict[str, bytes]:
    """The files of `info/` that say what the package and its `described_entries` are, by path."""
    files = {
        "info/index.json": _json(index_json(package)),
        "info/about.json": _json(
            {"home": package.home, "license": package.license, "summary": package.summary}
        ),
        "info/paths.json": _json({"paths": _paths(entries), "paths_version": 1}),
        "info/files": "".join(f"{e.path}\n" for e in entries if not e.directory).encode(),
        "info/hash_input.json": b"{}\n",
    }
    prefixed = [e for e in entries if e.prefix_mode]
    if prefixed:
        lines = (f'"{e.placeholder}" {e.prefix_mode} "{e.path}"\n' for e in prefixed)
        files["info/has_prefix"] = "".join(lines).encode()
    if package.noarch == "python":
        noarch = {"type": "python", "entry_points": list(package.entry_points)}
        files["info/link.json"] = _json({"noarch": noarch, "package_metadata_version": 1})
    return files


def index_json(package: Package) -> dict[str, Any]:
    """The package's own record, `info/index.json`; keys without a value are left out."""
    machine = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}.get(package.subdir)
    index: dict[str, Any] = {
        "arch": machine,
        "build": package.build,
        "build_number": package.build_number,
        "depends": list(package.depends),
        "license": package.license or None,
        "name": package.name,
        "platform": "linux" if machine else None,
        "subdir": package.subdir,
        "timestamp": package.timestamp_ms,
        "version": package.version,
    }
    optional = {
        "constrains": list(package.constrains),
        "noarch": package.noarch,
        "track_features": package.track_features,
        "python_site_packages_path": package.python_site_packages_path,
    }
    return index | {key: value for key, value in optional.items() if value}


def _paths(entries: list[Entry]) -> list[dict[str, Any]]:
    by_path = {entry.path: entry for entry in entries}
    if len(by_path) != len(entries):
        seen: set[str] = set()
        twice = next(e.path for e in entries if e.path in seen or seen.add(e.path))  # type: ignore[func-returns-value]  # the idiom for "first repetition"
        raise ValueError(f"path given twice: {twice}")
    paths = []
    for entry in entries:
        if entry.directory:
            paths.append({"_path": entry.path, "path_type": "directory"})
            continue
        data = _content(entry, by_path)
        described: dict[str, Any] = {
            "_path": entry.path,
            "path_type": "softlink" if entry.link is not None else "hardlink",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_in_bytes": len(data),
        }
        if entry.prefix_mode:
            described["prefix_placeholder"] = entry.placeholder
            described["file_mode"] = entry.prefix_mode
        paths.append(described)
    return paths


def _content(entry: Entry, by_path: dict[str, Entry]) -> bytes:
    """What one reads at the entry; nothing for a dangling link."""
    for _ in range(10):
        if entry.hardlink is not None:
            target = entry.hardlink
        elif entry.link is not None:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.link))
        else:
            return entry.data
        if target not in by_path:
            return b""
        entry = by_path[target]
    return b""


def _with_prefix_mode(entry: Entry) -> Entry:
    if entry.prefix_mode or entry.placeholder.encode() not in entry.data:
        return entry
    if entry.path.endswith(".pyc"):
        # Strings in a .pyc carry their length; replacing the placeholder would break the file.
        raise ValueError(f"placeholder in compiled Python: {entry.path}")
    return replace(entry, prefix_mode="binary" if b"\0" in entry.data else "text")


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"
