"""Packages packed by conda's own tools, from a folder as conda-build leaves it.

conda-package-handling and conda-package-streaming write the archives. Channels have files of
several years, and so has this one: which habit a package is packed by goes by its date.

* `.tar.bz2`, `info/` first.
* `.conda` as conda-package-handling 1 made it: its list of what belongs into the `info-` half had
  been written before `info/licenses/` was invented, so licences are in the half of the payload.
* `.conda` of today, where all of `info/` is in the `info-` half.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from unittest import mock

import yaml
from conda_package_handling import api as handling
from conda_package_streaming.create import anonymize, conda_builder
from conda_package_streaming.transmute import transmute_tar_bz2

from conformance.channel.writer import EPOCH_SECONDS, LEVEL, Package, described_entries, info_files

Habit = Literal["tar.bz2", "licences in the payload", "conda"]

#: conda-forge began to write `.conda` files at about this time; what is older is `.tar.bz2`.
_FIRST_CONDA_MS = 1_640_995_200_000
#: conda-package-handling 2.3 and conda-build 24.7 had become usual.
_ALL_INFO_MS = 1_735_689_600_000
#: What conda-package-handling 1.9 took for information: `filter_info_files` in its `utils.py`.
_OLD_INFO = re.compile(
    r"info/(index\.json|files|paths\.json|about\.json|has_prefix|hash_input_files|hash_input\.json"
    r"|run_exports\.(yaml|json)|git|recipe/.*|recipe_log\.json|recipe\.tar|test/.*|LICENSE.*"
    r"|requires|meta|platform|no_link|link\.json|icon\.png)"
)


def habit(package: Package) -> Habit:
    """How packages of this one's date were packed; of those without one, as most are today."""
    if EPOCH_SECONDS * 1000 < package.timestamp_ms < _FIRST_CONDA_MS:
        return "tar.bz2"
    return "licences in the payload" if package.timestamp_ms < _ALL_INFO_MS else "conda"


def pack(package: Package, channel: Path, way: Habit | None = None) -> Path:
    """Pack `package` into its subdir of `channel`; return the file, which appears whole.

    The same package gives the same bytes.

    Args:
        package: Its `extension` is not looked at.
        channel: Its folder.
        way: `habit(package)` if it is not given.
    """
    way = way or habit(package)
    subdir = channel / package.subdir
    subdir.mkdir(parents=True, exist_ok=True)
    # In the same file system, so that the last step is a rename.
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=channel) as folder:
        root, out = Path(folder) / "root", Path(folder) / "out"
        out.mkdir()
        names = _lay_out(package, root)
        with _clock(package.timestamp_ms // 1000):
            packed = _PACKERS[way](root, names, package.stem, out)
        return packed.replace(subdir / packed.name)


def _pack_conda(root: Path, names: list[str], stem: str, out: Path, level: int = LEVEL) -> Path:
    handling.create(str(root), names, f"{stem}.conda", str(out), compression_level=level)
    return out / f"{stem}.conda"


def _pack_old_conda(root: Path, names: list[str], stem: str, out: Path) -> Path:
    with conda_builder(
        stem,
        str(out),
        compression_level=LEVEL,
        is_info=lambda name: _OLD_INFO.fullmatch(name) is not None,
    ) as archive:
        for name in names:
            archive.add(str(root / name), name, recursive=False, filter=anonymize)
    return out / f"{stem}.conda"


def _pack_tar_bz2(root: Path, names: list[str], stem: str, out: Path) -> Path:
    """By way of a `.conda`: `create` would sort by `hash`, another order in every process."""
    passing = _pack_conda(root, names, stem, root.parent, level=1)
    return Path(transmute_tar_bz2(str(passing), str(out)))


_PACKERS = {
    "tar.bz2": _pack_tar_bz2,
    "licences in the payload": _pack_old_conda,
    "conda": _pack_conda,
}


@contextmanager
def _clock(seconds: int) -> Iterator[None]:
    """Have the zip say when the package was published, not when it was packed here."""
    with mock.patch("time.localtime", return_value=time.gmtime(seconds)):
        yield


def _lay_out(package: Package, root: Path) -> list[str]:
    """Write all files below `root`; return their names in the order of the archive."""
    entries = described_entries(package)
    # Hard links come last, since their targets must be there first.
    entries = sorted(entries, key=lambda entry: (entry.hardlink is not None, entry.path))
    for entry in entries:
        path = root / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.directory:
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        elif entry.link is not None:
            path.symlink_to(entry.link)
        elif entry.hardlink is not None:
            path.hardlink_to(root / entry.hardlink)
        else:
            path.write_bytes(entry.data)
            path.chmod(entry.mode)
    information = info_files(package, entries) | _conda_build_files(package) | package.extra_info
    for name, data in information.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    names = [entry.path for entry in entries] + sorted(information)
    for name in names:
        seconds = package.timestamp_ms // 1000
        os.utime(root / name, (seconds, seconds), follow_symlinks=False)
    return names


def _conda_build_files(package: Package) -> dict[str, bytes]:
    """What conda-build adds, in the forms that it gives them."""
    variant = {"channel_targets": "conda-forge main", "target_platform": package.subdir}
    licenses = sorted(
        name.rpartition("/")[2] for name in package.extra_info if name.startswith("info/licenses/")
    )
    about = {
        "channels": ["https://conda.anaconda.org/conda-forge"],
        "conda_build_version": "24.5.1",
        "conda_version": "24.5.0",
        "env_vars": {"CIO_TEST": "<not set>"},
        "extra": {"copy_test_source_files": True, "final": True, "recipe-maintainers": []},
        "home": package.home,
        "identifiers": [],
        "keywords": [],
        "license": package.license,
        "license_file": licenses,
        "root_pkgs": [],
        "summary": package.summary,
        "tags": [],
    }
    return {
        "info/about.json": _json(about),
        "info/git": b"",
        "info/hash_input.json": _json(variant if package.noarch is None else {}),
        "info/recipe/conda_build_config.yaml": _yaml(variant),
        "info/recipe/meta.yaml": _meta_yaml(package, licenses),
        "info/recipe/meta.yaml.template": _meta_yaml(package, licenses),
        "info/test/run_test.sh": b"\n\nset -ex\n\n\n\ntrue\nexit 0\n",
        "info/test/test_time_dependencies.json": b"[]",
    }


def _meta_yaml(package: Package, licenses: list[str]) -> bytes:
    document: dict[str, object] = {
        "package": {"name": package.name, "version": package.version},
        "build": {"number": package.build_number, "string": package.build},
        "requirements": {
            "run": list(package.depends),
            "run_constrained": list(package.constrains),
        },
        "about": {
            "home": package.home,
            "license": package.license,
            "license_file": licenses,
            "summary": package.summary,
        },
    }
    return b"# This file created by conda-build 24.5.1\n\n" + _yaml(document)


def _json(value: object) -> bytes:
    """As conda-build writes it: sorted, without a line end."""
    return json.dumps(value, indent=2, sort_keys=True).encode()


def _yaml(value: object) -> bytes:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text.encode()
