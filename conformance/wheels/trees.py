"""What is in a prefix after wheels were installed, with what installers word differently left out.

One pip takes as long to start as ten wheels take to install, so that wheels that have no path and
no project in common are installed at once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Final, Literal

import zstandard

from builder.errors import PackageError
from builder.install.assemble import assemble
from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.records import WheelRecord
from conformance.channel.wheel_lock import Wheel

Installer = Literal["pip", "uv"]

PYTHON: Final = PythonTarget("3.11.7", "lib/python3.11/site-packages")
_PREFIX: Final = "opt/conda/"
#: Each installer says that it was it, and pip and uv that the wheel was asked for, and from where.
_NOTES: Final = ("INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
_MAX_AT_ONCE: Final = 60


@dataclass(frozen=True, slots=True)
class Installed:
    """One file."""

    mode: int
    #: Of the content; the interpreter of a script is left out.
    sha256: str


#: Path below the prefix, mode and content.
Files = list[tuple[str, int, bytes]]
#: By path below the prefix.
Tree = dict[str, Installed]


def ours(wheel: Wheel, path: Path, scratch: Path) -> Tree | str:
    """Return what the builder makes of a wheel, without bytecode, or why it refuses it."""
    url = f"https://files.test/{wheel.filename}"
    record = WheelRecord(wheel.name, wheel.version, url, wheel.sha256)
    out = scratch / wheel.sha256
    try:
        plan = LayerPlan((LayerPackage(record),), PYTHON)
        assemble(plan, {wheel.sha256: path}, "zstd", out, scratch, None, threads=1)
    except PackageError as exc:
        return exc.message
    files: Files = []
    with (
        out.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as body,
        tarfile.open(fileobj=body, mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member)
            path_below = member.name.removeprefix(_PREFIX)
            if content is not None and not path_below.startswith("conda-meta/"):
                files.append((path_below, member.mode, content.read()))
    out.unlink()
    return tree_of(files)


def theirs(installer: Installer, wheels: Sequence[Path], prefix: Path) -> Tree | str:
    """Return what pip or uv installs below ``prefix``, or what it says instead."""
    python = str(Path(sys.base_prefix) / "bin" / "python3.11")
    if installer == "pip":
        command = [sys.executable, "-m", "pip", "--isolated", "--python", python, "install"]
        command += ["--no-index", "--no-compile", "--ignore-installed", "--no-warn-script-location"]
        command += ["--root-user-action", "ignore", "--disable-pip-version-check"]
    else:
        command = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-config"]
        command += ["--python", python, "--link-mode", "copy", "--cache-dir", f"{prefix}-cache"]
    command += ["--quiet", "--no-deps", "--prefix", str(prefix), *map(str, wheels)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, umask=0o022
    )
    if done.returncode:
        return done.stderr.strip()
    files: Files = []
    for path in prefix.rglob("*"):
        if path.is_file() and path.name != ".lock":  # of uv
            name = path.relative_to(prefix).as_posix()
            files.append((name, stat.S_IMODE(path.stat().st_mode), path.read_bytes()))
    return tree_of(files)


def groups(wheels: Mapping[Path, Wheel]) -> list[list[Path]]:
    """Return the wheels in groups that can be installed together."""
    made: list[tuple[list[Path], set[str]]] = []
    for path, wheel in wheels.items():
        taken = {f"project {wheel.name}", *_paths(path)}
        for members, others in made:
            if len(members) < _MAX_AT_ONCE and others.isdisjoint(taken):
                members.append(path)
                others.update(taken)
                break
        else:
            made.append(([path], taken))
    return [members for members, _ in made]


def _paths(wheel: Path) -> Iterable[str]:
    """Yield what the wheel may put somewhere, whatever it is that it does with it."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith("/entry_points.txt"):
                lines = archive.read(name).decode("utf-8", "replace").splitlines()
                yield from (
                    f"bin/{line.partition('=')[0].strip()}" for line in lines if "=" in line
                )
            elif not name.endswith("/"):
                parts = name.split("/")
                if parts[0].endswith(".data"):
                    parts = ["bin" if part == "scripts" else part for part in parts[1:]]
                    parts = parts if parts[0] == "bin" else parts[1:]
                yield "/".join(parts)


def tree_of(files: Files) -> Tree:
    """Return the files of wheels, without what installers word differently."""
    paths = {_place(path) for path, _, _ in files}
    tree: Tree = {}
    for path, mode, content in files:
        if ".dist-info/" in path and path.endswith(_NOTES):
            continue
        compared = content
        if path.endswith(".dist-info/RECORD"):
            compared = _listed(content, paths)
        elif path.startswith("bin/"):
            compared = _without_interpreter(content)
        tree[_place(path)] = Installed(mode, hashlib.sha256(compared).hexdigest())
    return tree


def _place(path: str) -> str:
    """Return where pip puts a file; uv has a place of virtual environments for headers."""
    return path.replace("include/site/python", "include/python")


def _without_interpreter(content: bytes) -> bytes:
    """Return a script without its interpreter, and one of an entry point as one word for all."""
    first, _, rest = content.partition(b"\n")
    if not first.startswith(b"#!") or b"python" not in first:
        return content
    if b"sys.exit(" in rest and b"sys.argv[0]" in rest:
        return b"an entry point\n"
    return rest


def _listed(record: bytes, paths: set[str]) -> bytes:
    """Return what a RECORD lists and is there, sorted.

    pip copies the hashes of the wheel's RECORD, whether they are right, and lines of what is not
    there; what the builder writes of hashes is tested with it.
    """
    rows = csv.reader(io.StringIO(record.decode(), newline=""))
    below = {_place(normpath(f"{PYTHON.site_packages}/{row[0]}")) for row in rows}
    return repr(sorted(path for path in below & paths if not path.endswith(_NOTES))).encode()
