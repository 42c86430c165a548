"""Packages of other people as a channel would list them, and as py-rattler installs them."""

import asyncio
import bz2
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Any, Final

import pytest
import rattler
import zstandard
from rattler.exceptions import InstallerError

from builder.layer import PREFIX
from builder.records import PackageRecord
from builder.solve.records import to_records
from tests.made_by_others import names

#: What names the machine on which rattler ran.
_OF_THE_MACHINE: Final = {"extracted_package_dir", "package_tarball_full_path", "link"}
#: Nobody asks for a package of an image: the whole image is asked for.
_OF_THE_REQUEST: Final = {"requested_spec", "requested_specs"}


def packages_of_others() -> list[str]:
    """Return the paths of packages that are at hand, as ``made_by_others`` takes them or absolute.

    ``PULLFORGE_TEST_PACKAGES`` names more directories with such.
    """
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
        return to_records([self.theirs], [])[0]


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


def list_package(archive: Path, directory: Path) -> Known:
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
    return list_package_as(archive, record, directory)


def list_package_as(archive: Path, record: Mapping[str, Any], directory: Path) -> Known:
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


def install_by_rattler(
    records: Iterable[rattler.RepoDataRecord], at: Path, prefix: Path | str, cache: Path
) -> None:
    """Have py-rattler install packages below ``at`` as they are at ``prefix``."""
    asyncio.run(_install([*records], at, str(prefix), cache))


async def _install(
    records: list[rattler.RepoDataRecord], at: Path, prefix: str, cache: Path
) -> None:
    try:
        await rattler.install(
            records,
            at,
            cache_dir=cache,
            platform=rattler.Subdir("linux-64"),
            alternative_target_prefix=prefix,
            show_progress=False,
        )
    finally:
        # rattler's threads may still run when the loop ends, and then the process crashes.
        await asyncio.sleep(0.1)


def install_with_rattler(packages: Sequence[Known], directory: Path, prefix: str = PREFIX) -> str:
    """Install with rattler to ``directory / "theirs"``; return why not, or nothing.

    The files say that they are at ``prefix``.
    """
    records = [package.theirs for package in packages]
    try:
        install_by_rattler(records, directory / "theirs", prefix, directory / "cache")
    except InstallerError as exc:
        return str(exc)
    return ""


def read_records(prefix: Path) -> dict[str, dict[str, Any]]:
    """Return the records of a prefix without that in which rattler and we differ on purpose."""
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


def require_equal(theirs: Mapping[Any, Any], ours: Mapping[Any, Any]) -> None:
    """Fail with what only one of the two has, or what is not the same in both."""
    keys = sorted(theirs.keys() | ours.keys())
    different = [key for key in keys if theirs.get(key) != ours.get(key)]
    lines = [f"{key!r}:\n  {theirs.get(key)}\n  {ours.get(key)}" for key in different]
    if lines:
        pytest.fail(f"{len(lines)} differ, rattler's first:\n" + "\n".join(lines[:20]))
