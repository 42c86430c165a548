"""The wheels that the channel is made of: resolved once with uv, pinned in `pinned/wheels.json`.

The lock has no addresses: name, version, file name, hash and upload time find the same file in any
index that mirrors PyPI.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name, parse_wheel_filename

#: `demo` is what `make demo` shows, for one Python; `small` what most tests need; `full` is all.
Tier = Literal["demo", "full", "small"]
TIERS: tuple[Tier, ...] = ("demo", "full", "small")

_FOLDER = Path(__file__).parent / "pinned"
LOCK_FILE = _FOLDER / "wheels.json"
PACKAGES_FILE = _FOLDER / "packages.toml"
#: Debian 12's glibc (2.36) runs all of these.
_UV_PLATFORMS = {
    "linux-64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_28",
}


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel."""

    #: PyPI's name, normalised: `ruamel-yaml`.
    name: str
    version: str
    filename: str
    sha256: str
    #: Upload to PyPI, `2025-05-22T18:15:27Z`: the package's timestamp.
    uploaded: str
    #: Tiers that contain it.
    tiers: tuple[str, ...]

    @cached_property
    def timestamp_ms(self) -> int:
        """The upload time as conda writes it."""
        return int(datetime.fromisoformat(self.uploaded).timestamp()) * 1000

    @cached_property
    def tags(self) -> list[tuple[str, str, str]]:
        """Interpreter, ABI and platform of each tag, sorted."""
        tags = parse_wheel_filename(self.filename)[3]
        return sorted((t.interpreter, t.abi, t.platform) for t in tags)

    @property
    def is_pure(self) -> bool:
        """Whether it becomes a noarch package."""
        return all(abi == "none" and platform == "any" for _, abi, platform in self.tags)

    @property
    def subdir(self) -> str:
        """The conda subdir."""
        if self.is_pure:
            return "noarch"
        return "linux-aarch64" if self.tags[0][2].endswith("aarch64") else "linux-64"

    @property
    def python(self) -> str | None:
        """The minor version it was compiled for, `"3.11"`; `None` if for several."""
        return None if self.tags[0][1] in {"abi3", "none"} else self.least_python

    @property
    def least_python(self) -> str:
        """The oldest minor version that its tags allow; `"3.0"` if they do not say."""
        interpreter = self.tags[0][0]
        return f"3.{interpreter[3:] or 0}"


def read_lock(tier: Tier, lock_file: Path = LOCK_FILE) -> list[Wheel]:
    """The pinned wheels of the tier, sorted by file name."""
    wheels = [_wheel(item) for item in json.loads(lock_file.read_text())]
    return [wheel for wheel in wheels if tier in wheel.tiers]


def conda_names() -> dict[str, str]:
    """Normalised PyPI name → conda name, where they differ."""
    names: dict[str, str] = tomllib.loads(PACKAGES_FILE.read_text())["conda-names"]
    return names


def relock(packages_file: Path = PACKAGES_FILE, lock_file: Path = LOCK_FILE) -> int:
    """Resolve `packages.toml` anew against PyPI; return how many wheels are pinned now."""
    packages = tomllib.loads(packages_file.read_text())
    resolutions: list[dict[str, Any]] = packages["resolution"]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda r: _resolve(r, packages["sets"]), resolutions))
    found: dict[str, dict[str, Any]] = {}
    for resolution, wheels in zip(resolutions, results, strict=True):
        for wheel in wheels:
            known = found.setdefault(wheel["filename"], wheel | {"tiers": []})
            known["tiers"] = sorted({*known["tiers"], *resolution["tiers"]})
    lock = [asdict(_wheel(found[filename])) for filename in sorted(found)]
    lines = ",\n".join(json.dumps(wheel) for wheel in lock)
    lock_file.write_text(f"[\n{lines}\n]\n")
    return len(lock)


def _wheel(item: dict[str, Any]) -> Wheel:
    return Wheel(**{**item, "tiers": tuple(item["tiers"])})


def _resolve(resolution: dict[str, Any], sets: dict[str, list[str]]) -> list[dict[str, Any]]:
    day = datetime.fromisoformat(resolution["until"]).replace(tzinfo=UTC)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.in"
        wanted.write_text("\n".join(name for s in resolution["sets"] for name in sets[s]))
        out = Path(folder) / "pylock.toml"
        command = [sys.executable, "-m", "uv", "pip", "compile", str(wanted), "-q", "-o", str(out)]
        command += ["--python", sys.executable, "--python-version", resolution["python"]]
        command += ["--python-platform", _UV_PLATFORMS[resolution["subdir"]]]
        command += ["--exclude-newer", f"{day + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"]
        command += ["--only-binary", ":all:", "--no-header", "--format", "pylock.toml"]
        subprocess.run(command, check=True)
        lock = tomllib.loads(out.read_text())
    return [_pinned(package) for package in lock["packages"]]


def _pinned(package: dict[str, Any]) -> dict[str, Any]:
    """The wheel of a package; when uv lists several (CPython's and abi3), the first."""
    wheel = package["wheels"][0]
    uploaded = wheel["upload-time"].astimezone(UTC)
    return {
        "name": canonicalize_name(package["name"]),
        "version": package["version"],
        "filename": unquote(urlsplit(wheel["url"]).path.rpartition("/")[2]),
        "sha256": wheel["hashes"]["sha256"],
        "uploaded": f"{uploaded:%Y-%m-%dT%H:%M:%SZ}",
    }
