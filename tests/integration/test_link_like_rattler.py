"""What is in a prefix, compared with what py-rattler installs there from the same packages.

What differs on purpose is said in :func:`_tree`, and by :func:`read_records` of records.
"""

import hashlib
import re
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from rattler.exceptions import IoError as RattlerIoError

from builder.install.prefix.errors import PrefixTooLong
from builder.install.prefix.installation import InstallationPlan
from builder.install.prefix.link import LinkOptions, link
from builder.install.prefix.unpack import unpack
from builder.layer import LayerPackage, PythonTarget
from builder.records import LISTED
from conformance.channel import ensure
from conformance.channel.writer import Entry, Package, write_package
from tests.integration.known_packages import (
    Known,
    install_with_rattler,
    list_package,
    packages_of_others,
    read_records,
    require_equal,
)
from tests.made_by_others import made_by_others

#: Of a build in a root; with a blank; longer than a shebang may be.
PREFIXES: Final = (
    "/srv/envs/builds/0123456789abcdef0123456789abcdef",
    "/home/some body/env",
    "/home/" + "somebody/" * 14 + "env",
)
#: What rattler says of a placeholder.
_TOO_LONG: Final = "target prefix cannot be longer than the placeholder prefix"
_UNREADABLE: Final = (
    EOFError,
    OSError,
    KeyError,
    tarfile.TarError,
    zipfile.BadZipFile,
    RattlerIoError,
)
_TARGET: Final = PythonTarget("3.11.7", "lib/python3.11/site-packages")
_PYTHON: Final = Package(
    "python",
    "3.11.7",
    subdir="linux-64",
    noarch=None,
    entries=[Entry("bin/python3.11", b"")],
)
#: Of the local channel; they need nothing but the Python that some are made of.
_DEMOS: Final = (
    "activatedemo",
    "bzip2-tools",
    "hardlinkdemo",
    "numpy",
    "pip",
    "postlinkdemo",
    "python",
    "requests",
    "setuptools",
    "shebangdemo",
    "symlinkdemo",
)
_BUILD_PREFIX: Final = re.compile(r"^/.*_placehold_placehold_[^/]*")
#: What rattler and we say of a prefix as a whole.
_OF_THE_PREFIX: Final = ("CACHEDIR.TAG", "conda-meta/")
_ENV: Final = re.compile(rb"\A#!/usr/bin/env -S ")


def _tree(directory: Path, prefix: str) -> dict[str, tuple[str, bool | str]]:
    """Return what lies below a directory by path, without what describes it.

    A file by its hash and whether it is run, a symlink by its target.
    """
    found: dict[str, tuple[str, bool | str]] = {}
    for path in directory.rglob("*"):
        name = str(path.relative_to(directory))
        if name.startswith(_OF_THE_PREFIX):
            continue
        if path.is_symlink():
            # Unlike rattler's and conda's, a target in the build prefix is found.
            target = _BUILD_PREFIX.sub(prefix, str(path.readlink()))
            if name.startswith("bin/python"):
                target = target.removeprefix(f"{prefix}/bin/")  # so that it stays in its prefix
            found[name] = ("symlink", target)
        elif path.is_file():
            content = path.read_bytes()
            if b"sys.exit(" in content[:600] and b"\t" in content:
                # rattler indents scripts of entry points by tabs, and ends them by an empty line.
                content = content.replace(b"\t", b"    ").rstrip() + b"\n"
            # Options after a program's name are a part of it where ``env`` has no -S.
            content = _ENV.sub(b"#!/usr/bin/env ", content)
            is_run = bool(path.stat().st_mode & 0o100)
            found[name] = (hashlib.sha256(content).hexdigest(), is_run)
        elif not any(path.iterdir()):
            found[name] = ("directory", "")
    return found


def _unpack(packages: Sequence[Known], directory: Path) -> InstallationPlan:
    """Unpack to ``directory / "packages"``; the bytecode is what rattler has had compiled."""
    planned = tuple(LayerPackage(package.ours) for package in packages)
    plan = InstallationPlan("0" * 32, "linux-64", planned, _TARGET)
    (directory / "packages").mkdir()
    for package, known in zip(planned, packages, strict=True):
        out = directory / "packages" / plan.name_of(package)
        unpack(package, plan.python_of(package), known.archive, directory / "theirs", out)
    return plan


def _require_same(theirs: Path, ours: Path, prefix: str) -> None:
    require_equal(_tree(theirs, prefix), _tree(ours, prefix))
    expected, records = read_records(theirs), read_records(ours)
    assert expected.keys() == records.keys()
    for name, record in expected.items():
        paths = records[name].pop("paths_data")
        for path, entry in record.pop("paths_data").items():
            if entry.get("sha256_in_prefix") != paths[path].get("sha256_in_prefix"):
                # It is that of the file, and differs as the file does.
                content = (ours / path).read_bytes()
                assert _ENV.match(content)
                assert paths[path]["sha256_in_prefix"] == hashlib.sha256(content).hexdigest()
                del entry["sha256_in_prefix"], paths[path]["sha256_in_prefix"]
            assert entry == paths[path]
        # What only the package says of itself is kept here, as by conda.
        known = record.keys() | set(LISTED)
        require_equal(record, {key: records[name].get(key) for key in known})


def _check(packages: Sequence[Known], directory: Path) -> None:
    plan: InstallationPlan | None = None
    for prefix in PREFIXES:
        theirs, ours = directory / "theirs", directory / "ours"
        for installed in (theirs, ours):
            shutil.rmtree(installed, ignore_errors=True)
        refusal = install_with_rattler(packages, directory, prefix)
        if refusal and _TOO_LONG not in refusal:
            pytest.skip(f"rattler refuses it: {refusal}")
        plan = plan or _unpack(packages, directory)
        if refusal:
            with pytest.raises(PrefixTooLong):
                link(plan, directory / "packages", ours, prefix, LinkOptions())
            continue
        link(plan, directory / "packages", ours, prefix, LinkOptions())
        _require_same(theirs, ours, prefix)


@pytest.mark.parametrize("path", packages_of_others() or ["real/packages"])
def test_a_package_of_others_is_linked_as_rattler_links_it(tmp_path: Path, path: str) -> None:
    archive = Path(path) if path.startswith("/") else made_by_others(path)
    try:
        package = list_package(archive, tmp_path)
    except _UNREADABLE as exc:
        pytest.skip(f"nobody can read it: {exc}")
    packages = [package]
    if package.theirs.noarch.python:
        packages.insert(0, list_package(write_package(_PYTHON, tmp_path / "written"), tmp_path))
    _check(packages, tmp_path)


def test_a_placeholder_is_too_short_for_rattler_if_it_is_for_us(tmp_path: Path) -> None:
    for size in (len(PREFIXES[0]), len(PREFIXES[0]) - 1):
        placeholder = "/" + "x" * (size - 1)
        directory = tmp_path / str(size)
        directory.mkdir()
        old = Package(
            "old",
            "1.0",
            subdir="linux-64",
            noarch=None,
            entries=[Entry("lib/x", b"\0" + placeholder.encode() + b"\0", placeholder=placeholder)],
        )
        packages = [list_package(write_package(old, directory / "written"), directory)]
        refusal = install_with_rattler(packages, directory, PREFIXES[0])
        assert (_TOO_LONG in refusal) == (size < len(PREFIXES[0]))
        _check(packages, directory)


def test_an_environment_is_linked_as_rattler_links_it(tmp_path: Path) -> None:
    channel = ensure("small").channel
    found = [*channel.glob("linux-64/*"), *channel.glob("noarch/*")]
    archives = [path for path in sorted(found) if path.suffix in {".conda", ".bz2"}]
    newest = {path.name.rsplit("-", 2)[0]: path for path in archives}
    _check([list_package(newest[name], tmp_path) for name in _DEMOS], tmp_path)
