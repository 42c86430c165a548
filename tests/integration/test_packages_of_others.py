"""Packages of other people, installed file by file as py-rattler installs them, records too.

``PULLFORGE_TEST_PACKAGES`` names a directory (or several, by ``:``) of ``.conda`` and ``.tar.bz2``
files that are compared as well. What rattler refuses, and conda takes, is compared with what lies
in the archive.
"""

import asyncio
import bz2
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import normpath
from typing import Any, Final

import pytest
import rattler
import zstandard
from rattler.exceptions import InstallerError
from rattler.exceptions import IoError as RattlerIoError

from builder.errors import PackageError
from builder.install.archive import PackageArchive
from builder.install.assemble import assemble
from builder.install.contents import installed_paths, read_contents
from builder.install.package_writer import readable_mode
from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.lock import Lock, from_yaml, to_yaml
from builder.records import LISTED, PackageRecord
from builder.solve.records import to_records
from conformance.channel.writer import (
    Entry,
    Package,
    archive_bytes,
    file_member,
    info_members,
    write_package,
)
from tests.made_by_others import made_by_others, names

_PYTHON: Final = Package(
    "python",
    "3.11.7",
    subdir="linux-64",
    noarch=None,
    entries=[Entry("bin/python3.11", b"")],
)
_BUILD_PREFIX: Final = re.compile(r"^/.*_placehold_placehold_[^/]*")
_TARGET: Final = PythonTarget("3.11.7", "lib/python3.11/site-packages")
#: What names the machine on which rattler ran.
_OF_THE_MACHINE: Final = {"extracted_package_dir", "package_tarball_full_path", "link"}
#: Nobody asks for a package of an image: the whole image is asked for.
_OF_THE_REQUEST: Final = {"requested_spec", "requested_specs"}


def _of_others() -> list[str]:
    chosen = os.environ.get("PULLFORGE_TEST_PACKAGES", "")
    folders = [Path(folder) for folder in chosen.split(":") if folder]
    found = [path for folder in folders for path in sorted(folder.iterdir())]
    more = [str(path) for path in found if path.name.endswith((".conda", ".tar.bz2"))]
    return [*names("real/packages/*"), *names("cases/**/*.conda"), *more]


@dataclass(frozen=True, slots=True)
class Known:
    """A package as its channel lists it, read by rattler."""

    archive: Path
    theirs: rattler.RepoDataRecord

    @property
    def ours(self) -> PackageRecord:
        return to_records([self.theirs])[0]


def _unpack(archive: Path, directory: Path) -> Path:
    """Unpack by Python alone, that nothing of ours says what is in a package."""
    unpacked = directory / "unpacked" / archive.name
    unpacked.mkdir(parents=True)
    if archive.suffix == ".bz2":
        tars = [bz2.decompress(archive.read_bytes())]
    else:
        with zipfile.ZipFile(archive) as parts:
            members = sorted(name for name in parts.namelist() if name.endswith(".tar.zst"))
            readers = [zstandard.ZstdDecompressor().stream_reader(parts.open(m)) for m in members]
            tars = [reader.read() for reader in readers]
    for data in tars:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            # Named so, since Debian 12's Python has no argument for it.
            tar.extraction_filter = lambda member, _: member
            tar.extractall(unpacked)
    return unpacked


def _listed(archive: Path, directory: Path) -> Known:
    """Return the package as a channel of its own lists it that takes over what it says itself."""
    index = json.loads((_unpack(archive, directory) / "info/index.json").read_bytes())
    subdir = "noarch" if index.get("noarch") else "linux-64"
    data = archive.read_bytes()
    number, depends = index.get("build_number"), index.get("depends")
    record = {
        **index,
        # No index lists what is malformed.
        "build_number": number if isinstance(number, int) and number >= 0 else 0,
        "depends": depends if isinstance(depends, list) else [],
        "subdir": subdir,
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }
    return _known_as(archive, record, directory)


def _known_as(archive: Path, record: Mapping[str, Any], directory: Path) -> Known:
    """Return the package as a channel lists it with ``record``."""
    subdir = record["subdir"]
    place = directory / "channel" / subdir
    place.mkdir(parents=True, exist_ok=True)
    here = place / archive.name
    if not here.exists():
        here.symlink_to(archive)
    kind = "packages.conda" if archive.suffix == ".conda" else "packages"
    repodata = place / f"{archive.name}.repodata.json"
    repodata.write_text(json.dumps({"info": {"subdir": subdir}, kind: {archive.name: record}}))
    channel = rattler.Channel((directory / "channel").as_uri())
    (theirs,) = rattler.RepoData.from_path(repodata).into_repo_data(channel)
    return Known(archive, theirs)


async def _install(records: list[rattler.RepoDataRecord], prefix: Path, cache: Path) -> None:
    try:
        await rattler.install(
            records,
            prefix,
            cache_dir=cache,
            platform=rattler.Subdir("linux-64"),
            alternative_target_prefix="/opt/conda",
            show_progress=False,
        )
    finally:
        # rattler's threads may still run when the loop ends, and then the process crashes.
        await asyncio.sleep(0.1)


def _refusal(packages: list[Known], directory: Path) -> str:
    """Install with rattler to ``directory / "theirs"``; return why not, or nothing."""
    records = [package.theirs for package in packages]
    try:
        asyncio.run(_install(records, directory / "theirs", directory / "cache"))
    except InstallerError as exc:
        return str(exc)
    return ""


def _assemble(packages: list[Known], directory: Path) -> Path:
    """Make a layer of the packages; return the prefix in it."""
    records = [package.ours for package in packages]
    paths = {r.sha256: p.archive for r, p in zip(records, packages, strict=True)}
    plan = LayerPlan(tuple(LayerPackage(record) for record in records), _TARGET)
    assemble(plan, paths, "gzip", directory / "layer", directory, None)
    root = directory / "root"
    root.mkdir()
    # GNU tar, that nothing of ours is needed to read what is ours.
    unpack = ["tar", "-x", "-p", "--gzip", "-C", str(root), "-f", str(directory / "layer")]
    subprocess.run(unpack, check=True)
    return root / "opt/conda"


def _tree(prefix: Path) -> dict[str, tuple[str, ...]]:
    """Return everything below ``prefix``, without what describes it, by path."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(prefix.rglob("*")):
        name = str(path.relative_to(prefix))
        if name.startswith("conda-meta/") or name == "CACHEDIR.TAG":
            continue
        if path.is_symlink():
            # Unlike rattler and conda, a target in the build prefix is found in an image.
            found[name] = ("symlink", _BUILD_PREFIX.sub("/opt/conda", str(path.readlink())))
        elif path.is_file():
            # An image's user does not own the files, as one who installs them does.
            content, mode = path.read_bytes(), readable_mode(stat.S_IMODE(path.stat().st_mode))
            if b"sys.exit(" in content[:500] and b"\t" in content:
                # rattler indents scripts of entry points by tabs, and its group may write them.
                content, mode = content.replace(b"\t", b"    ").rstrip() + b"\n", 0o755
            found[name] = (oct(mode), hashlib.sha256(content).hexdigest())
    return found


def _records(prefix: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in (prefix / "conda-meta").glob("*.json"):
        record = json.loads(path.read_bytes())
        # rattler keeps segments that mean nothing.
        record["files"] = sorted(map(normpath, record["files"]))
        record["paths_data"] = {
            normpath(entry["_path"]): _entry(entry) for entry in record["paths_data"]["paths"]
        }
        # rattler ends it with a slash, conda does not.
        record["channel"] = record["channel"].rstrip("/")
        # rattler takes over seconds, which conda makes milliseconds.
        if 0 < (record.get("timestamp") or 0) < 253_402_300_799:
            record["timestamp"] *= 1000
        left_out = _OF_THE_MACHINE | _OF_THE_REQUEST
        found[path.name] = {k: v for k, v in record.items() if k not in left_out}
    return found


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of ``paths_data`` without that in which rattler and conda differ.

    Of a file whose prefix is replaced conda gives the size that belongs to ``sha256``, which is
    that of the package; of a symlink it gives no hash of its text, and of an entry point no hash.
    """
    left_out = {"_path"}
    if "prefix_placeholder" in entry:
        # Some list a file as a symlink, with its prefix: rattler and we replace it in the file.
        left_out |= {"size_in_bytes", "path_type"}
    elif entry["path_type"] != "hardlink":
        left_out |= {"sha256_in_prefix"}
    if entry["path_type"] == "unix_python_entry_point":
        left_out |= {"sha256", "size_in_bytes"}
    return {key: value for key, value in entry.items() if key not in left_out}


def _compare(theirs: Mapping[Any, Any], ours: Mapping[Any, Any]) -> None:
    """Fail with what only one of the two has, or what is not the same in both."""
    keys = sorted(theirs.keys() | ours.keys())
    different = [key for key in keys if theirs.get(key) != ours.get(key)]
    lines = [f"{key!r}:\n  {theirs.get(key)}\n  {ours.get(key)}" for key in different]
    if lines:
        pytest.fail(f"{len(lines)} differ, rattler's first:\n" + "\n".join(lines[:20]))


@pytest.mark.parametrize("index", ["repodata.json", "noarch-repodata.json"])
def test_what_a_channel_has_corrected_is_in_the_record_as_rattler_writes_it(
    tmp_path: Path, index: str
) -> None:
    folder = made_by_others("cases/made-10-hotfix-conda-meta")
    records = json.loads((folder / index).read_bytes())["packages.conda"]
    found = {name: record for name, record in records.items() if (folder / name).exists()}
    packages = [_known_as(folder / name, record, tmp_path) for name, record in found.items()]
    assert packages
    assert _refusal(packages, tmp_path) == ""
    # Neither a lock nor its file loses any of it.
    records = tuple(package.ours for package in packages)
    lock = Lock(platforms={"linux-64": records}, channels=(), virtual_packages=())
    assert from_yaml(to_yaml(lock)).platforms["linux-64"] == records
    theirs, ours = _records(tmp_path / "theirs"), _records(_assemble(packages, tmp_path))
    _compare(theirs, ours)


def _compare_unpacked(theirs: Path, ours: Path) -> None:
    """Fail if a file that is listed, and has no prefix, is not as in the archive."""
    info = theirs / "info"
    if (info / "paths.json").exists():
        entries = json.loads((info / "paths.json").read_bytes())["paths"]
        names = {entry["_path"] for entry in entries if "prefix_placeholder" not in entry}
    else:
        prefixed = info / "has_prefix"
        replaced = prefixed.read_text() if prefixed.exists() else ""
        listed = (info / "files").read_text().splitlines()
        names = {name for name in listed if name and name not in replaced}
    unpacked, known = _tree(theirs), _tree(ours)
    _compare({n: unpacked[n] for n in names}, {n: known.get(n) for n in names})


def _check_plan(packages: list[Known], ours: Path) -> None:
    """Fail if what is planned with is not what is installed."""
    planned: set[str] = set()
    for package in packages:
        planned |= set(installed_paths(read_contents(package.archive, package.ours), _TARGET))
    installed = set(_tree(ours))
    assert installed <= planned
    assert {path for path in planned - installed if not path.endswith(".pyc")} == set()


@pytest.mark.parametrize("path", _of_others() or ["real/packages"])
def test_a_package_of_others_is_installed_as_rattler_installs_it(tmp_path: Path, path: str) -> None:
    _check(Path(path) if path.startswith("/") else made_by_others(path), tmp_path)


_X: Final = {"_path": "share/x", "path_type": "hardlink"}


@pytest.mark.parametrize(
    "paths",
    [
        [{"_path": "./share/x", "path_type": "hardlink"}],
        [{"_path": "share//x", "path_type": "hardlink"}],
        [{**_X, "prefix_placeholder": "/build"}],
        [{**_X, "prefix_placeholder": "/build", "file_mode": "text"}],
        [{**_X, "sha256": None, "size_in_bytes": 3}],
    ],
)
@pytest.mark.parametrize("mode", [0o600, 0o750])
def test_odd_lists_are_understood_as_rattler_understands_them(
    tmp_path: Path, paths: list[dict[str, Any]], mode: int
) -> None:
    """The lists are what reports of others have; no such package of others is at hand."""
    package = Package("odd", "1.0", subdir="linux-64", noarch=None)
    listed = json.dumps({"paths_version": 1, "paths": paths}).encode()
    info = info_members(replace(package, extra_info={"info/paths.json": listed}), [])
    content = [file_member("share/x", b"/build/x", mode=mode)]
    archive = tmp_path / package.filename
    archive.write_bytes(archive_bytes(package, content, info))
    packages = [_listed(archive, tmp_path)]
    assert _refusal(packages, tmp_path) == ""
    _check_installed(packages, tmp_path)


def _check(archive: Path, tmp_path: Path) -> None:
    try:
        package = _listed(archive, tmp_path)
    except (EOFError, OSError, KeyError, tarfile.TarError, zipfile.BadZipFile):
        with pytest.raises(PackageError):
            PackageArchive(archive, archive.name).read_info()
        return
    except RattlerIoError as exc:
        pytest.skip(f"no index can list it: {exc}")
    packages = [package]
    if package.theirs.noarch.python:
        packages.insert(0, _listed(write_package(_PYTHON, tmp_path / "written"), tmp_path))
    refusal = _refusal(packages, tmp_path)
    if refusal:
        # What conda takes is taken, as it lies in the archive; the rest is refused by a sentence.
        with suppress(PackageError):
            _compare_unpacked(tmp_path / "unpacked" / archive.name, _assemble(packages, tmp_path))
        return
    _check_installed(packages, tmp_path)


def _check_installed(packages: list[Known], tmp_path: Path) -> None:
    ours = _assemble(packages, tmp_path)
    _compare(_tree(tmp_path / "theirs"), _tree(ours))
    theirs, records = _records(tmp_path / "theirs"), _records(ours)
    assert theirs.keys() == records.keys()
    for name, record in theirs.items():
        _compare(record.pop("paths_data"), records[name].pop("paths_data"))
        # What only the package says of itself is kept here, as by conda.
        known = record.keys() | set(LISTED)
        _compare(record, {key: records[name].get(key) for key in known})
    _check_plan(packages, ours)
