"""What is in a prefix, in an image and in what py-rattler installs, so that they can be compared.

A tree is everything below a prefix, by its path. What has to differ is named here, and nothing else
may: see :func:`of_image` and :func:`of_rattler`.
"""

import gzip
import hashlib
import importlib.util
import io
import itertools
import json
import os
import re
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Any, BinaryIO, Final, Literal

import zstandard

from conformance.oci_client import PulledImage

Kind = Literal["file", "directory", "symlink"]
#: By path below the prefix.
Tree = dict[str, "Found"]

#: Where an image has its environment.
IMAGE_PREFIX: Final = "/opt/conda"
_PLACE: Final = IMAGE_PREFIX.removeprefix("/") + "/"
#: What a prefix on a disk has, and an image says otherwise or not at all: who it belongs to, that
#: conda must not change it, and which variables are set.
OF_PREFIXES: Final = frozenset(
    {"conda-meta/pullforge", "conda-meta/frozen", "conda-meta/state", "conda-meta/history"}
)
#: What rattler adds to its prefixes.
_OF_RATTLER: Final = frozenset({"CACHEDIR.TAG", "conda-meta/history"})
#: What names the machine on which rattler ran, or who asked for a package, and what is for those
#: who build packages.
_OF_THE_MACHINE: Final = frozenset(
    {"extracted_package_dir", "package_tarball_full_path", "link"}
    | {"requested_spec", "requested_specs", "run_exports"}
)
#: In which conda looks for prefixes.
_ENCODINGS: Final = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_RECORD: Final = re.compile(r"conda-meta/[^/]+\.json")
_BUILD_PREFIX: Final = re.compile(r"^/.*_placehold_placehold_[^/]*")


@dataclass(frozen=True, slots=True)
class Found:
    """A file, a directory or a symlink."""

    kind: Kind
    #: Of a file: whether it may be executed.
    is_executable: bool = False
    #: Of a symlink: where it leads; of a file: the hash of its content.
    content: str = ""


def of_prefix(prefix: Path) -> Tree:
    """Return what is in a prefix, byte for byte, with names of Python as packages have them."""
    found: Tree = {}
    for directory, names, files in os.walk(prefix):
        for name in (*names, *files):
            path = os.path.join(directory, name)  # noqa: PTH118 (a hundred thousand of them)
            found[os.path.relpath(path, prefix)] = _found(path)
    for name, one in found.items():
        if one.kind == "symlink" and name.startswith("bin/python"):
            found[name] = Found("symlink", content=one.content.removeprefix(f"{prefix}/bin/"))
    return found


def of_image(image: PulledImage, prefix: Path) -> Tree:
    """Return the environment of an image as it has to be at a prefix: see :func:`like_an_image`."""
    found: Tree = {}
    # The lowest layer is the base.
    for layer in image.layers[1:]:
        with layer.open("rb") as file, tarfile.open(fileobj=_decompressed(file), mode="r|") as tar:
            for member in tar:
                path = member.name.removeprefix(_PLACE)
                if path == member.name:
                    continue
                if member.isdir():
                    found[path.rstrip("/")] = Found("directory")
                elif member.issym():
                    target = re.sub(f"^{IMAGE_PREFIX}(?=/|$)", str(prefix), member.linkname)
                    found[path] = Found("symlink", content=target)
                elif member.islnk():
                    found[path] = found[member.linkname.removeprefix(_PLACE)]
                else:
                    body = tar.extractfile(member)
                    assert body is not None
                    digest = _digest(path, body.read(), prefix)
                    found[path] = Found("file", bool(member.mode & 0o111), digest)
    for path in [one for one in found if one in OF_PREFIXES or _is_stale(one, prefix)]:
        del found[path]
    return found


def _is_stale(path: str, prefix: Path) -> bool:
    """Tell whether it is the bytecode of a module that names the prefix; those get none."""
    if not path.endswith(".pyc") or (prefix / path).exists():
        return False
    source = Path(importlib.util.source_from_cache(str(prefix / path)))
    return str(prefix).encode() in source.read_bytes()


def like_an_image(prefix: Path) -> Tree:
    """Return what is in a prefix, without what must differ from an image.

    Both trees are read so: the prefix is a word in every file, since an image has another one, and
    what fills up its place in a program is left out; of records of packages, what follows from
    that.
    """
    found = of_prefix(prefix)
    for path, one in found.items():
        if one.kind == "file":
            digest = _digest(path, (prefix / path).read_bytes(), prefix)
            found[path] = Found("file", one.is_executable, digest)
    for path in OF_PREFIXES:
        found.pop(path, None)
    return found


def _digest(path: str, content: bytes, prefix: Path) -> str:
    if _RECORD.fullmatch(path):
        return _sha256(json.dumps(_same_everywhere(json.loads(content)), sort_keys=True).encode())
    is_filled_up = False
    for place, encoding in itertools.product((str(prefix), IMAGE_PREFIX), _ENCODINGS):
        if (written := place.encode(encoding)) in content:
            content = content.replace(written, b"PREFIX")
            is_filled_up = b"\0" in content
    content = content.replace(b"\0", b"") if is_filled_up else content
    if path.endswith(".dist-info/RECORD"):
        # Scripts of wheels name the prefix, and are listed with their hash.
        content = re.sub(rb"(?m)^((?:\.\./)+bin/[^,]*),.*$", rb"\1", content)
    return _sha256(content)


def _same_everywhere(record: dict[str, Any]) -> dict[str, Any]:
    for entry in record["paths_data"]["paths"]:
        entry.pop("sha256_in_prefix", None)
    return {key: value for key, value in record.items() if key not in _OF_THE_MACHINE}


def of_rattler(at: Path, prefix: Path) -> Tree:
    """Return what rattler installed, without what differs on purpose (docs/conda.md, section 7).

    It indents scripts of entry points by tabs, leaves targets in the build prefix, and compiles
    nothing; its records are compared by :func:`records`.
    """
    found = of_prefix(at)
    for path in [one for one in found if one in _OF_RATTLER or _RECORD.fullmatch(one)]:
        del found[path]
    for path, one in found.items():
        if one.kind == "symlink":
            target = _BUILD_PREFIX.sub(str(prefix), one.content)
            found[path] = Found("symlink", content=target)
        elif path.startswith("bin/") and one.kind == "file":
            found[path] = _script(at / path, one)
    return found


def like_rattler(prefix: Path, theirs: Mapping[str, Found]) -> Tree:
    """Return what is in a prefix, without what rattler does not make: bytecode, and our marks."""
    found = of_prefix(prefix)
    for path in [one for one in found if one in OF_PREFIXES or _RECORD.fullmatch(one)]:
        del found[path]
    for path in [one for one in found if "__pycache__" in one and one not in theirs]:
        del found[path]
    return found


def _script(path: Path, found: Found) -> Found:
    content = path.read_bytes()
    if b"sys.exit(" not in content[:500] or b"\t" not in content:
        return found
    return Found("file", True, _sha256(content.replace(b"\t", b"    ").rstrip() + b"\n"))


def records(prefix: Path) -> dict[str, Any]:
    """Return the records of packages, by file name, without that in which rattler and conda differ.

    See docs/conda.md, section 7.
    """
    found: dict[str, Any] = {}
    for path in (prefix / "conda-meta").glob("*.json"):
        record = json.loads(path.read_bytes())
        paths = {normpath(one["_path"]): one for one in record.pop("paths_data")["paths"]}
        record |= {f"path {one}": _entry(entry) for one, entry in paths.items()}
        record["files"] = sorted({*map(normpath, record["files"])} - _compiled(paths))
        record["channel"] = record["channel"].rstrip("/")
        # rattler takes over seconds, which conda makes milliseconds.
        if 0 < (record.get("timestamp") or 0) < 253_402_300_799:
            record["timestamp"] *= 1000
        for key in ("depends", "constrains"):  # which locks sort
            record[key] = sorted(record.get(key) or [])
        left_out = _OF_THE_MACHINE
        found[path.name] = {key: value for key, value in record.items() if key not in left_out}
    return found


def _compiled(paths: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the bytecode that was made here; rattler makes none."""
    return {one for one, entry in paths.items() if entry["path_type"] == "pyc_file"}


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    left_out = {"_path"}
    if "prefix_placeholder" in entry:
        left_out |= {"size_in_bytes", "path_type"}
    elif entry["path_type"] != "hardlink":
        left_out |= {"sha256_in_prefix"}
    if entry["path_type"] == "unix_python_entry_point":
        left_out |= {"sha256", "size_in_bytes", "sha256_in_prefix"}
    return {key: value for key, value in entry.items() if key not in left_out}


def wrong_hashes(prefix: Path) -> list[str]:
    """Return the files whose hash is not the one that a record of a package gives for them."""
    wrong = []
    for path in (prefix / "conda-meta").glob("*.json"):
        for entry in json.loads(path.read_bytes())["paths_data"]["paths"]:
            given = entry.get("sha256_in_prefix") or entry.get("sha256")
            file = prefix / entry["_path"]
            if given and not file.is_symlink() and _sha256(file.read_bytes()) != given:
                wrong.append(entry["_path"])
    return wrong


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, object]:
    """Return what only one of two has, or what is not the same in both: both sides, by path."""
    paths = sorted(one.keys() | other.keys())
    return {path: (a, b) for path in paths if (a := one.get(path)) != (b := other.get(path))}


def directories(tree: Mapping[str, Found]) -> Tree:
    """Return a tree with the directories in which its files are."""
    found = dict(tree)
    for path in tree:
        for parent in Path(path).parents:
            if str(parent) != ".":
                found.setdefault(str(parent), Found("directory"))
    return found


def _found(path: str) -> Found:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return Found("symlink", content=os.readlink(path))  # noqa: PTH115 (as above)
    if stat.S_ISDIR(status.st_mode):
        return Found("directory")
    with open(path, "rb") as file:  # noqa: PTH123 (as above)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Found("file", bool(status.st_mode & 0o111), digest)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _decompressed(file: BinaryIO) -> BinaryIO:
    magic = file.read(2)
    file.seek(0)
    reader: Any = (
        gzip.GzipFile(fileobj=file)
        if magic == b"\x1f\x8b"
        else zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    )
    return io.BufferedReader(reader, 1 << 20)
