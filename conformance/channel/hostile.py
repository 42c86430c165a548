"""Packages that attack who installs them, made in memory, for tests of refusing them.

    channel = write_hostile_channel(tmp_path)
    channel["parent-path"].path      # its file; the same name is its conda package's name

Every one is listed in the repodata with its true hash and size, except `wrong-hash`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import zstandard

from conformance.channel.index import write_repodata
from conformance.channel.writer import (
    PLACEHOLDER,
    Entry,
    Member,
    Package,
    archive_bytes,
    conda_bytes,
    file_member,
    info_members,
    package_bytes,
    tar_bytes,
)

_MIB = 1 << 20
#: What `zstd-bomb` unpacks to; its file has some kilobytes.
BOMB_SIZE_BYTES = 64 * _MIB
#: Entries of `huge-paths-json`.
HUGE_PATHS = 200_000


@dataclass(frozen=True, slots=True)
class Hostile:
    """One attack."""

    package: Package
    data: bytes
    #: Where `write_hostile_channel` put it.
    path: Path


def write_hostile_channel(channel: Path) -> dict[str, Hostile]:
    """Write every hostile package and the repodata; return them by name.

    The names are those of `HOSTILE`; needs no network and about a tenth of a second.
    """
    written: dict[str, Hostile] = {}
    for name, make in HOSTILE.items():
        package = Package(name, "1.0", subdir="linux-64", noarch=None)
        package, data = make(package)
        path = channel / package.subdir / package.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written[name] = Hostile(package, data, path)
    write_repodata(channel, [(h.package, h.data) for h in written.values()])
    broken = written["wrong-hash"]
    # Same length, other content: only the hash tells.
    broken.path.write_bytes(broken.data[:-1] + bytes([broken.data[-1] ^ 1]))
    return written


Made = tuple[Package, bytes]


def _of_members(
    package: Package, members: Iterable[Member], listed: Iterable[str] | None = None
) -> Made:
    """A package of these tar members, whose `paths.json` lists them too (or what is given)."""
    members = list(members)
    paths = [info.name for info, _ in members] if listed is None else list(listed)
    entries = [Entry(path) for path in dict.fromkeys(paths)]
    return package, archive_bytes(package, members, info_members(package, entries))


def _special(path: str, kind: bytes, target: str = "") -> Member:
    info, data = file_member(path, b"", mode=0o777)
    info.type, info.linkname = kind, target
    return info, data


def _absolute_path(package: Package) -> Made:
    return _of_members(package, [file_member("/tmp/pullforge-evil", b"evil")])


def _parent_path(package: Package) -> Made:
    return _of_members(package, [file_member("share/../../evil", b"evil")])


def _listed_parent_path(package: Package) -> Made:
    """The archive is harmless; `paths.json` is not."""
    return _of_members(package, [file_member("share/x", b"x")], ["share/x", "../../evil"])


def _listed_absolute_path(package: Package) -> Made:
    return _of_members(package, [file_member("share/x", b"x")], ["share/x", "/tmp/evil"])


def _write_through_symlink(package: Package) -> Made:
    link = _special("share/out", tarfile.SYMTYPE, "/tmp")
    return _of_members(package, [link, file_member("share/out/pullforge-evil", b"evil")])


def _write_through_relative_symlink(package: Package) -> Made:
    link = _special("share/out", tarfile.SYMTYPE, "../../..")
    return _of_members(package, [link, file_member("share/out/pullforge-evil", b"evil")])


def _hardlink_outside(package: Package) -> Made:
    return _of_members(package, [_special("share/passwd", tarfile.LNKTYPE, "../../etc/passwd")])


def _hardlink_absolute(package: Package) -> Made:
    return _of_members(package, [_special("share/passwd", tarfile.LNKTYPE, "/etc/passwd")])


def _zstd_bomb(package: Package) -> Made:
    """A file of zeros that `paths.json` says to be empty, in a frame that says no size."""
    info, _ = file_member("share/bomb", b"")
    info.size = BOMB_SIZE_BYTES
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    parts = [compressor.compress(info.tobuf(tarfile.PAX_FORMAT))]
    zeros = bytes(_MIB)
    parts += [compressor.compress(zeros) for _ in range(BOMB_SIZE_BYTES // _MIB)]
    parts += [compressor.compress(bytes(1024)), compressor.flush()]
    inner = zstandard.compress(tar_bytes(info_members(package, [Entry("share/bomb")])))
    return package, conda_bytes(package.stem, b"".join(parts), inner)


def _duplicate_paths(package: Package) -> Made:
    members = [file_member("share/twice", b"one"), file_member("share/twice", b"two")]
    return _of_members(package, members)


def _device_nodes(package: Package) -> Made:
    kinds = {"null": tarfile.CHRTYPE, "disk": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE}
    return _of_members(package, [_special(f"share/{n}", kind) for n, kind in kinds.items()])


def _suid(package: Package) -> Made:
    modes = {"suid": 0o4755, "sgid": 0o2755, "sticky": 0o1755}
    return _of_members(
        package, [file_member(f"bin/{n}", b"#!/bin/sh\n", mode=m) for n, m in modes.items()]
    )


def _truncated(package: Package) -> Made:
    package = replace(package, entries=[Entry("share/x", bytes(range(256)) * 64)])
    data = package_bytes(package)
    return package, data[: len(data) // 2]


def _truncated_bz2(package: Package) -> Made:
    return _truncated(replace(package, extension=".tar.bz2"))


def _truncated_inside(package: Package) -> Made:
    """The zip is whole, the zstd frame in it is not."""
    content = zstandard.compress(tar_bytes([file_member("share/x", bytes(range(256)) * 64)]))
    info = zstandard.compress(tar_bytes(info_members(package, [Entry("share/x")])))
    return package, conda_bytes(package.stem, content[: len(content) // 2], info)


def _not_an_archive(package: Package) -> Made:
    return package, b"<html>Sign in to the hotel's network</html>\n"


def _wrong_hash(package: Package) -> Made:
    package = replace(package, entries=[Entry("share/x", b"x")])
    return package, package_bytes(package)


def _missing_file(package: Package) -> Made:
    return _of_members(package, [file_member("share/x", b"")], ["share/x", "share/not-there"])


def _unlisted_file(package: Package) -> Made:
    members = [file_member("share/x", b""), file_member("share/unlisted", b"evil")]
    return _of_members(package, members, ["share/x"])


def _wrong_name(package: Package) -> Made:
    """`info/index.json` says that it is another package."""
    other = replace(package, name="openssl", entries=[Entry("share/x", b"x")])
    return package, package_bytes(replace(other, name="openssl"))


def _short_placeholder(package: Package) -> Made:
    """A binary placeholder that no real prefix fits into."""
    entry = Entry("bin/x", b"\x7fELF\0/p/lib\0", prefix_mode="binary", placeholder="/p")
    package = replace(package, entries=[entry])
    return package, package_bytes(package)


def _noarch(package: Package, *entry_points: str) -> Made:
    package = replace(
        package,
        subdir="noarch",
        noarch="python",
        depends=("python",),
        entry_points=entry_points,
        entries=[Entry("site-packages/evil.py", b"def main(): ...\n")],
    )
    return package, package_bytes(package)


def _entry_point_path(package: Package) -> Made:
    return _noarch(package, "../../../evil = evil:main", "sub/evil = evil:main")


def _entry_point_code(package: Package) -> Made:
    """The target of an entry point is pasted into a script."""
    return _noarch(package, "evil = os\nos.system('id') #:main", "evil2 = evil:main();exit")


def _noarch_parent_path(package: Package) -> Made:
    package = replace(package, subdir="noarch", noarch="python", depends=("python",))
    return _of_members(package, [file_member("site-packages/../../../evil.py", b"evil")])


def _huge_paths_json(package: Package) -> Made:
    """Small when compressed, `HUGE_PATHS` entries when read."""
    one = b'{"_path": "share/x", "path_type": "hardlink", "sha256": "%s", "size_in_bytes": 0},\n'
    body = one % (b"0" * 64) * HUGE_PATHS
    paths = b'{"paths_version": 1, "paths": [' + body.rstrip(b",\n") + b"]}"
    package = replace(package, extra_info={"info/paths.json": paths})
    data = archive_bytes(package, [file_member("share/x", b"")], info_members(package, []), 1)
    return package, data


def _bad_json(package: Package) -> Made:
    package = replace(package, extra_info={"info/paths.json": b'{"paths": ['})
    return package, package_bytes(package)


def _bad_types(package: Package) -> Made:
    """JSON, but not of the form that it should have."""
    wrong = {"paths": [{"_path": 7, "path_type": ["x"], "size_in_bytes": "many"}]}
    package = replace(package, extra_info={"info/paths.json": json.dumps(wrong).encode()})
    return package, package_bytes(package)


def _odd_names(package: Package) -> Made:
    """Control characters, a backslash, and a component longer than file systems allow."""
    names = ["share/new\nline", "share/back\\slash", f"share/{'x' * 300}", "share/\x1b[31m"]
    return _of_members(package, [file_member(name, b"x") for name in names])


def _placeholder_in_link(package: Package) -> Made:
    return _of_members(package, [_special("share/abs", tarfile.SYMTYPE, f"{PLACEHOLDER}/share/x")])


#: Name of the attack → maker of its package.
HOSTILE: dict[str, Callable[[Package], Made]] = {
    "absolute-path": _absolute_path,
    "bad-json": _bad_json,
    "bad-types": _bad_types,
    "device-nodes": _device_nodes,
    "duplicate-paths": _duplicate_paths,
    "entry-point-code": _entry_point_code,
    "entry-point-path": _entry_point_path,
    "hardlink-absolute": _hardlink_absolute,
    "hardlink-outside": _hardlink_outside,
    "huge-paths-json": _huge_paths_json,
    "listed-absolute-path": _listed_absolute_path,
    "listed-parent-path": _listed_parent_path,
    "missing-file": _missing_file,
    "noarch-parent-path": _noarch_parent_path,
    "not-an-archive": _not_an_archive,
    "odd-names": _odd_names,
    "parent-path": _parent_path,
    "placeholder-in-link": _placeholder_in_link,
    "short-placeholder": _short_placeholder,
    "suid": _suid,
    "truncated": _truncated,
    "truncated-bz2": _truncated_bz2,
    "truncated-inside": _truncated_inside,
    "unlisted-file": _unlisted_file,
    "write-through-relative-symlink": _write_through_relative_symlink,
    "write-through-symlink": _write_through_symlink,
    "wrong-hash": _wrong_hash,
    "wrong-name": _wrong_name,
    "zstd-bomb": _zstd_bomb,
}
