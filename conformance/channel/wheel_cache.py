"""Wheels on disk, fetched with pip from the index it is configured for, verified by hash."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.channel.wheel_lock import Wheel

_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
_GLIBC_TAGS = (
    "manylinux1", "manylinux2010", "manylinux2014", "manylinux_2_5", "manylinux_2_12",
    "manylinux_2_17", "manylinux_2_24", "manylinux_2_26", "manylinux_2_27", "manylinux_2_28",
)  # fmt: skip
_DOWNLOADS_AT_ONCE = 4


def wheel_path(wheel: Wheel, cache: Path) -> Path:
    """Where the cache keeps the wheel."""
    return cache / "wheels" / wheel.sha256 / wheel.filename


def fetch_wheels(wheels: Iterable[Wheel], cache: Path) -> None:
    """Have every wheel at its `wheel_path`; what is there is not fetched again.

    Raises:
        RuntimeError: pip could not get a wheel, or got another file than the pinned one.
    """
    missing = [wheel for wheel in wheels if not wheel_path(wheel, cache).exists()]
    (cache / "wheels").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        list(pool.map(lambda batch: _fetch_batch(batch, cache), _batches(missing)))
    for wheel in missing:
        if not wheel_path(wheel, cache).exists():
            raise RuntimeError(f"the index offers no {wheel.filename} with sha256 {wheel.sha256}")


def _batches(wheels: Iterable[Wheel]) -> list[list[Wheel]]:
    """Wheels that one pip can download: one platform and Python, each name once, a few dozen."""
    batches: dict[tuple[str, str, int], dict[str, Wheel]] = {}
    for wheel in wheels:
        target = (wheel.subdir, _python_for(wheel))
        number = 0
        while wheel.name in (batch := batches.setdefault((*target, number), {})) or len(batch) > 24:
            number += 1
        batch[wheel.name] = wheel
    return [list(batch.values()) for batch in batches.values()]


def _python_for(wheel: Wheel) -> str:
    """A Python that pip will choose this wheel for; stable-ABI wheels have a lower bound only."""
    return wheel.python or max(wheel.least_python, "3.11", key=lambda v: int(v.partition(".")[2]))


def _fetch_batch(batch: list[Wheel], cache: Path) -> None:
    python = _python_for(batch[0])
    machine = _MACHINES.get(batch[0].subdir, "x86_64")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(
            "".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in batch)
        )
        command = [sys.executable, "-m", "uv", "tool", "run", "--python", sys.executable]
        command += ["pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-cache-dir", "--require-hashes", "-r", str(requirements), "-d", folder]
        # The resolution looked at Requires-Python already, with the right patch version.
        command += ["--ignore-requires-python", "--python-version", python]
        command += ["--implementation", "cp"]
        for abi in (f"cp{python.replace('.', '')}", "abi3", "none"):
            command += ["--abi", abi]
        for tag in _GLIBC_TAGS:
            command += ["--platform", f"{tag}_{machine}"]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"UV_NO_PROGRESS": "1"},
        )
        if done.returncode:
            raise RuntimeError(f"pip could not download wheels:\n{done.stderr}")
        for wheel in batch:
            downloaded = Path(folder) / wheel.filename
            if not downloaded.exists():
                continue
            if hashlib.sha256(downloaded.read_bytes()).hexdigest() != wheel.sha256:
                raise RuntimeError(f"{wheel.filename} is not the file that was pinned")
            path = wheel_path(wheel, cache)
            path.parent.mkdir(exist_ok=True)
            downloaded.replace(path)
