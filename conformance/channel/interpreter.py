"""`python` packages: an installed interpreter, made relocatable."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.channel.build_string import with_build
from conformance.channel.bytecode import compile_entries
from conformance.channel.elf import glibc_floor, needed, stripped, with_rpath
from conformance.channel.libraries import Libraries
from conformance.channel.writer import EPOCH_SECONDS, PLACEHOLDER, Entry, Package

_SKIPPED_FOLDERS = {
    "__pycache__", "dist-packages", "idlelib", "lib2to3", "site-packages", "test", "tests",
    "tkinter", "turtledemo",
}  # fmt: skip
#: Modules that conda-forge's python lacks as well, or that need libraries nobody asks for.
_SKIPPED_MODULES = re.compile(
    r"(_tkinter|_test\w*|_ctypes_test|nis|xx\w*|_dbm|_gdbm|_xx\w*)\..*\.so|.*libpython.*"
)
_SKIPPED_FILES = {
    "EXTERNALLY-MANAGED", "sitecustomize.py", "_distutils_system_mod.py",
}  # fmt: skip
_PROBE = """
import json, os, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3],
    "prefix": sys.base_prefix,
    "program": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "stdlib": [paths["stdlib"], paths["platstdlib"]],
    "include": paths["include"],
    "library_folder": sysconfig.get_config_var("LIBDIR"),
}))
"""
#: Debian's layout → the one that everybody else has: (module, Debian's text, the original).
_DEBIAN_PATCHES = (
    (
        "site.py",
        'is_virtual_environment = sys.base_prefix != sys.prefix or hasattr(sys, "real_prefix")',
        "is_virtual_environment = True",
    ),
    ("sysconfig.py", "prefix_scheme = 'posix_local'", "prefix_scheme = 'posix_prefix'"),
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An installed CPython."""

    #: The program itself: no shim, no virtual environment.
    program: Path
    #: `"3.11.7"`.
    version: str
    prefix: Path
    stdlib: tuple[Path, ...]
    include: Path
    library_folder: Path

    @property
    def minor(self) -> str:
        """`"3.11"`."""
        return self.version.rpartition(".")[0]

    @property
    def is_debian(self) -> bool:
        """Whether it is the system's, with Debian's own layout."""
        return self.prefix == Path("/usr")


def find_interpreters(minors: Iterable[str]) -> dict[str, Interpreter]:
    """Interpreters of this machine by minor version, for those of `minors` that it has.

    The running one comes first, then pyenv's, then the one on `PATH`, then Debian's.
    """
    found: dict[str, Interpreter] = {}
    for minor in minors:
        for candidate in _candidates(minor):
            interpreter = probe(candidate)
            if interpreter is not None and interpreter.minor == minor:
                found[minor] = interpreter
                break
    return found


def _candidates(minor: str) -> Iterator[Path]:
    if minor == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from sorted(pyenv.glob(f"versions/{minor}.*/bin/python3"), reverse=True)
    name = f"python{minor}"
    yield from (Path(path) for path in (shutil.which(name), f"/usr/bin/{name}") if path)


def probe(program: Path) -> Interpreter | None:
    """What the program says about itself; `None` if it is no working CPython, like many a shim."""
    try:
        command = [str(program), "-I", "-S", "-c", _PROBE]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError):
        return None
    return Interpreter(
        program=Path(found["program"]),
        version=found["version"],
        prefix=Path(found["prefix"]),
        stdlib=tuple(dict.fromkeys(Path(p) for p in found["stdlib"])),
        include=Path(found["include"]),
        library_folder=Path(found["library_folder"]),
    )


def python_package(interpreter: Interpreter, libraries: Libraries) -> Package:
    """The package of an interpreter that is installed here."""
    if interpreter.is_debian:
        return debian_python(Path("/"), interpreter.version, libraries, interpreter)
    files = _Files(libraries, str(interpreter.prefix))
    minor = interpreter.minor
    files.add_program(interpreter.program, minor)
    for soname in needed(interpreter.program):
        if soname.startswith("libpython"):
            folders = (interpreter.library_folder, interpreter.prefix / "lib")
            library = next(f / soname for f in folders if (f / soname).exists())
            files.add_elf(library, f"lib/{soname}", "$ORIGIN")
            files.add(Entry(f"lib/libpython{minor}.so", link=soname))
    for folder in interpreter.stdlib:
        files.add_tree(folder, f"lib/python{minor}")
    files.add_tree(interpreter.include, f"include/python{minor}")
    for path in sorted((interpreter.prefix / "lib/pkgconfig").glob("python*.pc")):
        files.add_file(path, f"lib/pkgconfig/{path.name}")
    return _package(files, interpreter.version, interpreter)


def debian_python(
    root: Path, version: str, libraries: Libraries, compiler: Interpreter | None
) -> Package:
    """The package of Debian's python, installed (`root` is `/`) or unpacked from debs.

    Args:
        root: Where its `usr` is.
        version: Its full version, `"3.11.2"`.
        libraries: Libraries of its architecture.
        compiler: Interpreter of the same minor version that can run here, for `.pyc` files.
    """
    minor = version.rpartition(".")[0]
    stdlib = f"lib/python{minor}"
    files = _Files(libraries, "/usr")
    files.add_program(root / f"usr/bin/python{minor}", minor)
    files.add_tree(root / "usr" / stdlib, stdlib)
    for name, old, new in _DEBIAN_PATCHES:
        files.patch(f"{stdlib}/{name}", old, new)
    # site is a frozen module: the patched file is not what runs. It does look here.
    files.add(Entry(f"{stdlib}/dist-packages", link="site-packages"))
    return _package(files, version, compiler)


class _Files:
    """Collects entries; binaries are stripped and find their libraries below the prefix."""

    def __init__(self, libraries: Libraries, prefix: str) -> None:
        self.libraries = libraries
        self.entries: dict[str, Entry] = {}
        self.sonames: set[str] = set()
        # /usr is in so many texts that mean the system's that it cannot be replaced.
        self._prefix = None if prefix in {"/usr", "/usr/local"} else prefix.encode()

    def add(self, entry: Entry) -> None:
        self.entries.setdefault(entry.path, entry)

    def add_program(self, program: Path, minor: str) -> None:
        self.add_elf(program, f"bin/python{minor}", "$ORIGIN/../lib")
        for name in ("python", "python3"):
            self.add(Entry(f"bin/{name}", link=f"python{minor}"))
        pydoc = f"#!{PLACEHOLDER}/bin/python{minor}\nimport pydoc\n\npydoc.cli()\n"
        self.add(Entry(f"bin/pydoc{minor}", pydoc.encode(), mode=0o755))
        self.add(Entry("bin/pydoc", link=f"pydoc{minor}"))

    def add_elf(self, path: Path, name: str, rpath: str) -> None:
        """Add the file unless it needs a library that this system does not have."""
        sonames = [n for n in needed(path) if not n.startswith("libpython")]
        if all(self.libraries.add(soname) for soname in sonames):
            self.sonames.update(sonames)
            data = path.read_bytes()
            # Debian's are stripped already, and may be of an architecture that strip does not know.
            data = with_rpath(stripped(data) if self._prefix else data, rpath)
            self.add(Entry(name, data, mode=0o755))

    def add_file(self, path: Path, name: str) -> None:
        if path.is_symlink():
            target = path.readlink()
            if not target.is_absolute() and path.exists():
                self.add(Entry(name, link=str(target)))
            return
        data = path.read_bytes()
        if self._prefix:
            data = data.replace(self._prefix, PLACEHOLDER.encode())
        self.add(Entry(name, data, mode=0o755 if path.stat().st_mode & 0o111 else 0o644))

    def add_tree(self, root: Path, name: str) -> None:
        for folder, folders, filenames in os.walk(root):
            folders[:] = sorted(
                f for f in folders if f not in _SKIPPED_FOLDERS and not f.startswith("config-")
            )
            for filename in sorted(filenames):
                if filename in _SKIPPED_FILES or filename.endswith((".a", ".o", ".pyc")):
                    continue
                path = Path(folder) / filename
                target = f"{name}/{path.relative_to(root).as_posix()}"
                if not filename.endswith(".so"):
                    self.add_file(path, target)
                elif not _SKIPPED_MODULES.fullmatch(filename):
                    up = "/".join([".."] * (target.count("/") - 1))
                    self.add_elf(path, target, f"$ORIGIN/{up}")

    def patch(self, name: str, old: str, new: str) -> None:
        """Replace a text that must be there: the layout would be wrong without."""
        text = self.entries[name].data.decode()
        if old not in text:
            raise RuntimeError(f"{name} does not look like Debian's: {old!r} is not in it")
        self.entries[name] = Entry(name, text.replace(old, new).encode())


def _package(files: _Files, version: str, compiler: Interpreter | None) -> Package:
    minor = version.rpartition(".")[0]
    site_packages = f"lib/python{minor}/site-packages"
    files.add(Entry(f"{site_packages}/README.txt", b"This directory contains packages.\n"))
    entries = list(files.entries.values())
    if compiler is not None:
        entries += compile_entries(compiler.program, entries, EPOCH_SECONDS)
    text = files.entries.get(f"lib/python{minor}/LICENSE.txt")
    license_files = {"info/licenses/LICENSE": text.data} if text else {}
    package = Package(
        "python",
        version,
        subdir=files.libraries.subdir,
        noarch=None,
        depends=(
            *sorted(files.libraries.depends(sorted(files.sonames))),
            "ca-certificates",
            "tzdata",
            glibc_floor(entries),
        ),
        constrains=(f"python_abi {minor}.* *_cp{minor.replace('.', '')}",),
        entries=entries,
        license="Python-2.0",
        summary="General purpose programming language",
        home="https://www.python.org/",
        python_site_packages_path=site_packages,
        extra_info=license_files,
    )
    return with_build(package, "h{hash}_0_cpython")
