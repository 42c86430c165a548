"""Debian packages of any architecture, through an apt state of our own: no root, nothing installed.

What apt offered the first time is kept and used from then on, so that one machine goes on making
the same channel; deleting the cache's `debs` folder asks apt again.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Debian's architecture of a conda subdir.
ARCHITECTURES = {"linux-64": "amd64", "linux-aarch64": "arm64"}
_CANDIDATE = re.compile(r"^(\S+):\n\s+Installed:.*\n\s+Candidate: (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Debs:
    """Fetched packages of one architecture."""

    folder: Path
    #: File name → sha256.
    files: dict[str, str]
    #: Package → version.
    versions: dict[str, str]

    def read(self, package: str, path: str) -> bytes:
        """Return a file of a package, `bin/bzip2`; suites differ in whether it is below `usr`."""
        deb = next(name for name in sorted(self.files) if name.startswith(f"{package}_"))
        command = ["dpkg-deb", "--fsys-tarfile", str(self.folder / deb)]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            names = {member.name.removeprefix("./"): member for member in archive}
            member = names.get(path) or names[f"usr/{path}"]
            file = archive.extractfile(member)
            assert file is not None
            return file.read()

    def unpack(self, root: Path) -> dict[str, str]:
        """Unpack all below `root`; return file name of each shared library → Debian version.

        Raises:
            RuntimeError: a file is not what was fetched.
        """
        libraries: dict[str, str] = {}
        for filename, sha256 in sorted(self.files.items()):
            deb = self.folder / filename
            if hashlib.sha256(deb.read_bytes()).hexdigest() != sha256:
                raise RuntimeError(f"{deb} has changed since it was fetched")
            root.mkdir(parents=True, exist_ok=True)
            _run("dpkg-deb", "-x", str(deb), str(root))
            version = self.versions[filename.split("_")[0]]
            for line in _run("dpkg-deb", "-c", str(deb)).splitlines():
                name = line.split(" ./", 1)[-1].split(" -> ")[0].rpartition("/")[2]
                if ".so" in name:
                    libraries[name] = version
        return libraries


def fetch_debs(architecture: str, names: tuple[str, ...], cache: Path) -> Debs:
    """Download the newest version of each package; what the suite does not have is left out.

    Args:
        architecture: Debian's name for it, `"arm64"`.
        names: Package names. Suites name some packages differently: give all the names.
        cache: Folder that keeps the files and apt's state.
    """
    wanted = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:12]
    folder = cache / "debs" / f"{architecture}-{wanted}"
    listing = folder / "debs.json"
    if not listing.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The folder is gone from its temporary name when all went well.
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as part:
            _download(architecture, names, Path(part), folder.parent / f"apt-{architecture}")
            Path(part).rename(folder)
    found = json.loads(listing.read_text())
    return Debs(folder, found["files"], found["versions"])


def _download(architecture: str, names: tuple[str, ...], folder: Path, state: Path) -> None:
    options = _prepare_apt(architecture, state)
    _run("apt-get", *options, "-qq", "update")
    offered = dict(_CANDIDATE.findall(_run("apt-cache", *options, "policy", *names)))
    versions = {n.split(":")[0]: v for n, v in sorted(offered.items()) if v != "(none)"}
    _run("apt-get", *options, "-qq", "download", *versions, cwd=folder)
    files = {
        deb.name: hashlib.sha256(deb.read_bytes()).hexdigest()
        for deb in sorted(folder.glob("*.deb"))
    }
    (folder / "debs.json").write_text(json.dumps({"files": files, "versions": versions}, indent=1))


def _prepare_apt(architecture: str, state: Path) -> list[str]:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "state/status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "Dir::State": f"{state}/state",
        "Dir::State::status": f"{state}/state/status",
        "Dir::Cache": f"{state}/cache",
        # apt would otherwise download as a user who may not enter our folder.
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:1])} failed: {done.stderr.strip()}")
    return done.stdout
