"""What a version is made of, by its lock, as its channels and its index list it."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rattler
from conda_lock.lockfile import parse_conda_lock_file

from conformance.catalog.person import environment
from conformance.prefixes.site import Built, Site

_SUBDIRS: Final = ("linux-64", "noarch")


@dataclass(frozen=True, slots=True)
class Locked:
    """The packages of a version."""

    conda: tuple[rattler.RepoDataRecord, ...]
    #: Hashes of wheels, by their file names.
    wheels: dict[str, str]


class Channels:
    """Channels, read by rattler."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        """Read what is at each address from its directory."""
        self._records: dict[str, rattler.RepoDataRecord] = {}
        for url, directory in directories.items():
            channel = rattler.Channel(url)
            for subdir in _SUBDIRS:
                data = rattler.RepoData.from_path(directory / subdir / "repodata.json")
                for record in data.into_repo_data(channel):
                    assert record.sha256 is not None
                    self._records[record.sha256.hex()] = record

    def locked(self, site: Site, built: Built) -> Locked:
        """Return what a version is made of, as conda-lock reads its lock."""
        address = f"{environment(built.path)}/versions/{built.number}/lock"
        with tempfile.NamedTemporaryFile(suffix=".yml") as file:
            path = Path(file.name)
            path.write_bytes(site.admin.send(site.server, "GET", address).content)
            packages = parse_conda_lock_file(path).package
        conda, wheels = [], {}
        for package in packages:
            sha256 = package.hash.sha256
            assert sha256 is not None
            if package.manager == "conda":
                conda.append(self._records[sha256])
            else:
                wheels[package.url.rpartition("/")[2].partition("#")[0]] = sha256
        return Locked(tuple(conda), wheels)
