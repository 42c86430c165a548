"""Shared libraries of a system, as conda packages named like conda-forge's."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from conformance.channel.build_string import with_build
from conformance.channel.elf import glibc_floor, needed, with_rpath
from conformance.channel.writer import Entry, Package

_GLIBC = re.compile(
    r"(ld-linux.*|linux-vdso|libc|libm|libdl|libpthread|librt|libutil|libresolv|libnsl|libanl)"
    r"\.so(\.\d+)?"
)
#: Beginning of a soname → conda-forge's package.
_PACKAGES = {
    "libbz2": "bzip2",
    "libcrypt.": "libxcrypt",
    "libcrypto": "openssl",
    "libdb-": "libdb",
    "libexpat": "libexpat",
    "libffi": "libffi",
    "libgcc_s": "libgcc",
    "libgdbm": "gdbm",
    "libgomp": "libgomp",
    "libhistory": "readline",
    "liblzma": "liblzma",
    "libmpdec": "mpdecimal",
    "libncurses": "ncurses",
    "libpanel": "ncurses",
    "libreadline": "readline",
    "libsqlite3": "libsqlite",
    "libssl": "openssl",
    "libstdc++": "libstdcxx",
    "libtinfo": "ncurses",
    "libuuid": "libuuid",
    "libz.": "libzlib",
    "libzstd": "zstd",
}
#: As on conda-forge: whoever needs libgcc gets the package with the underscore in its name.
_MORE_DEPENDS = {"libgcc": ("_openmp_mutex >=4.5",)}


class Libraries:
    """Finds the libraries that programs need and packages them.

    Args:
        subdir: Conda subdir of the packages.
        folders: Where to look, first match wins.
        versions: File name → Debian version, of libraries that dpkg on this machine does not know.
    """

    def __init__(self, subdir: str, folders: Sequence[Path], versions: Mapping[str, str]) -> None:
        self.subdir = subdir
        self._folders = folders
        self._versions = versions
        self._found: dict[str, tuple[str, Path]] = {}

    def add(self, soname: str) -> bool:
        """Package the library and all that it needs; whether that is possible.

        Libraries of glibc are part of every base image: they need no package.
        """
        if _GLIBC.fullmatch(soname) or soname in self._found:
            return True
        path = next((f / soname for f in self._folders if (f / soname).exists()), None)
        if path is None:
            return False
        # Before its own needs are looked at: libraries may need each other.
        self._found[soname] = (_package_of(soname), path.resolve())
        if all(self.add(other) for other in needed(path)):
            return True
        del self._found[soname]
        return False

    def depends(self, sonames: Sequence[str]) -> set[str]:
        """The conda packages of these libraries."""
        return {self._found[name][0] for name in sonames if name in self._found}

    def packages(self) -> list[Package]:
        """Packages of everything that was added, sorted by name."""
        grouped: dict[str, dict[str, Path]] = {}
        for soname, (package, path) in sorted(self._found.items()):
            grouped.setdefault(package, {})[soname] = path
        return [self._package(name, files) for name, files in sorted(grouped.items())]

    def _package(self, name: str, files: dict[str, Path]) -> Package:
        depends: set[str] = set()
        entries: dict[str, Entry] = {}
        for soname, path in files.items():
            depends |= self.depends(needed(path)) - {name}
            data = with_rpath(path.read_bytes(), "$ORIGIN")
            entries[path.name] = Entry(f"lib/{path.name}", data, mode=0o755)
            if soname != path.name:
                entries[soname] = Entry(f"lib/{soname}", link=path.name)
        package = Package(
            name,
            self._version(list(files.values())),
            subdir=self.subdir,
            noarch=None,
            depends=(
                *sorted(depends),
                *_MORE_DEPENDS.get(name, ()),
                glibc_floor(entries.values()),
            ),
            entries=list(entries.values()),
            license="see Debian's copyright file",
            summary=f"shared libraries {', '.join(sorted(files))}",
        )
        exports = {"weak": [f"{name} >={package.version}"]}
        information = {"info/run_exports.json": json.dumps(exports).encode()}
        information |= _copyright(list(files.values()))
        return with_build(replace(package, extra_info=information), "h{hash}_0")

    def _version(self, paths: Sequence[Path]) -> str:
        for path in paths:
            version = self._versions.get(path.name) or _dpkg_version(path)
            if version:
                return upstream_version(version)
        # No dpkg: libz.so.1.2.13 says it itself.
        return max((path.name.partition(".so.")[2] for path in paths), key=len) or "0"


def upstream_version(debian_version: str) -> str:
    """The part of a Debian version that conda's version order understands.

    >>> upstream_version("1:1.2.13.dfsg-1"), upstream_version("3.0.17-1~deb12u2")
    ('1.2.13', '3.0.17')
    """
    version = debian_version.partition(":")[2] or debian_version
    version = re.sub(r"[.+](dfsg|ds|really|git).*", "", version)
    return re.split(r"[-+~]", version)[0]


def _package_of(soname: str) -> str:
    """conda-forge's name, or for an unknown library a package named after it."""
    for beginning, package in _PACKAGES.items():
        if soname.startswith(beginning):
            return package
    return soname.partition(".so")[0].lower()


def _copyright(paths: Sequence[Path]) -> dict[str, bytes]:
    """The licences of the libraries, by their places in a package; minimal systems have none."""
    files = [Path("/usr/share/doc") / (_dpkg_owner(path) or "-") / "copyright" for path in paths]
    return {
        f"info/licenses/{file.parent.name}/copyright": file.read_bytes()
        for file in files
        if file.is_file()
    }


def _dpkg_version(path: Path) -> str | None:
    """Version of the installed package that owns the file."""
    package = _dpkg_owner(path)
    if package is None:
        return None
    query = ["dpkg-query", "-W", "-f", "${Version}\n", package]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]


def _dpkg_owner(path: Path) -> str | None:
    """The installed package that owns the file; dpkg may know it without `/usr`."""
    for name in (str(path), str(path).removeprefix("/usr")):
        try:
            owner = subprocess.run(
                ["dpkg", "-S", name], check=False, capture_output=True, text=True
            )
        except FileNotFoundError:
            return None
        if owner.returncode == 0:
            return owner.stdout.split(": ")[0].split(",")[0].split(":")[0]
    return None
