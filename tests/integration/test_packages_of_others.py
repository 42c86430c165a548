"""Packages of other people, installed file by file as py-rattler installs them, records too.

``PULLFORGE_TEST_PACKAGES`` names a directory (or several, by ``:``) of ``.conda`` and ``.tar.bz2``
files that are compared as well. What rattler refuses, and conda takes, is compared with what lies
in the archive.
"""

import hashlib
import json
import re
import stat
import subprocess
import tarfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from rattler.exceptions import IoError as RattlerIoError

from builder.errors import PackageError
from builder.install.archive import PackageArchive
from builder.install.assemble import assemble
from builder.install.contents import installed_paths, read_contents
from builder.install.package_writer import readable_mode
from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.lock import Lock, from_yaml, to_yaml
from builder.records import LISTED
from conformance.channel.writer import (
    Entry,
    Package,
    archive_bytes,
    file_member,
    info_members,
    write_package,
)
from tests.integration.known_packages import (
    Known,
    install_with_rattler,
    list_package,
    list_package_as,
    packages_of_others,
    read_records,
    require_equal,
)
from tests.made_by_others import made_by_others

_PYTHON: Final = Package(
    "python",
    "3.11.7",
    subdir="linux-64",
    noarch=None,
    entries=[Entry("bin/python3.11", b"")],
)
_BUILD_PREFIX: Final = re.compile(r"^/.*_placehold_placehold_[^/]*")
_TARGET: Final = PythonTarget("3.11.7", "lib/python3.11/site-packages")


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


@pytest.mark.parametrize("index", ["repodata.json", "noarch-repodata.json"])
def test_what_a_channel_has_corrected_is_in_the_record_as_rattler_writes_it(
    tmp_path: Path, index: str
) -> None:
    folder = made_by_others("cases/made-10-hotfix-conda-meta")
    records = json.loads((folder / index).read_bytes())["packages.conda"]
    found = {name: record for name, record in records.items() if (folder / name).exists()}
    packages = [list_package_as(folder / name, record, tmp_path) for name, record in found.items()]
    assert packages
    assert install_with_rattler(packages, tmp_path) == ""
    # Neither a lock nor its file loses any of it.
    records = tuple(package.ours for package in packages)
    lock = Lock(platforms={"linux-64": records}, channels=(), virtual_packages=())
    assert from_yaml(to_yaml(lock)).platforms["linux-64"] == records
    theirs, ours = read_records(tmp_path / "theirs"), read_records(_assemble(packages, tmp_path))
    require_equal(theirs, ours)


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
    require_equal({n: unpacked[n] for n in names}, {n: known.get(n) for n in names})


def _check_plan(packages: list[Known], ours: Path) -> None:
    """Fail if what is planned with is not what is installed."""
    planned: set[str] = set()
    for package in packages:
        planned |= set(installed_paths(read_contents(package.archive, package.ours), _TARGET))
    installed = set(_tree(ours))
    assert installed <= planned
    assert {path for path in planned - installed if not path.endswith(".pyc")} == set()


@pytest.mark.parametrize("path", packages_of_others() or ["real/packages"])
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
    packages = [list_package(archive, tmp_path)]
    assert install_with_rattler(packages, tmp_path) == ""
    _check_installed(packages, tmp_path)


def _check(archive: Path, tmp_path: Path) -> None:
    try:
        package = list_package(archive, tmp_path)
    except (EOFError, OSError, KeyError, tarfile.TarError, zipfile.BadZipFile):
        with pytest.raises(PackageError):
            PackageArchive(archive, archive.name).read_info()
        return
    except RattlerIoError as exc:
        pytest.skip(f"no index can list it: {exc}")
    packages = [package]
    if package.theirs.noarch.python:
        packages.insert(0, list_package(write_package(_PYTHON, tmp_path / "written"), tmp_path))
    refusal = install_with_rattler(packages, tmp_path)
    if refusal:
        # What conda takes is taken, as it lies in the archive; the rest is refused by a sentence.
        with suppress(PackageError):
            _compare_unpacked(tmp_path / "unpacked" / archive.name, _assemble(packages, tmp_path))
        return
    _check_installed(packages, tmp_path)


def _check_installed(packages: list[Known], tmp_path: Path) -> None:
    ours = _assemble(packages, tmp_path)
    require_equal(_tree(tmp_path / "theirs"), _tree(ours))
    theirs, records = read_records(tmp_path / "theirs"), read_records(ours)
    assert theirs.keys() == records.keys()
    for name, record in theirs.items():
        require_equal(record.pop("paths_data"), records[name].pop("paths_data"))
        # What only the package says of itself is kept here, as by conda.
        known = record.keys() | set(LISTED)
        require_equal(record, {key: records[name].get(key) for key in known})
    _check_plan(packages, ours)
