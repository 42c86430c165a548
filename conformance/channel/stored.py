"""Finished channels on disk, by a key of everything they are made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from conformance.channel.build import Sources, build_channel, gather_sources
from conformance.channel.elf import patchelf
from conformance.channel.wheel_lock import Tier

#: Whose releases may change bytes of packages or of the index.
_TOOLS = (
    "backports.zstd", "conda-package-handling", "conda-package-streaming", "msgpack", "packaging",
    "py-rattler", "py-rattler-build", "zstandard",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChannelPaths:
    """Where a finished channel is; nobody may write into it."""

    #: A conda channel: `linux-64`, `linux-aarch64`, `noarch`.
    channel: Path
    #: The base image, an OCI image layout.
    base: Path


def default_cache() -> Path:
    """`pullforge/channel` in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "pullforge" / "channel"


def ensure(tier: Tier = "full", cache: Path | None = None) -> ChannelPaths:
    """Return the channel of the tier, after building it if it is not there.

    A build that is killed leaves nothing that is taken for a channel. Processes that ask at
    the same time wait for one build.

    Raises:
        RuntimeError: it cannot be built here; the message says why.
    """
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache):
        sources = gather_sources(tier, cache)
        folder = cache / channel_key(sources)
        paths = ChannelPaths(folder / "channel", folder / "base")
        if not folder.exists():
            _remove_leftovers(cache)
            # In the same folder, so that its last step is a rename.
            part = Path(tempfile.mkdtemp(prefix="part-", dir=cache))
            build_channel(sources, part / "channel", part / "base")
            part.chmod(0o755)
            part.rename(folder)
    return paths


def channel_key(sources: Sources) -> str:
    """Name of the channel: another one for every change of tier, code, tools or machine."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    tools = [f"{name} {version(name)}" for name in _TOOLS]
    for program in filter(None, (patchelf(), shutil.which("strip"))):
        command = [program, "--version"]
        tools.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    digest.update(repr(tools).encode())
    for minor, interpreter in sources.interpreters.items():
        digest.update(repr((minor, interpreter)).encode())
    for debs in (sources.base_debs, sources.library_debs):
        digest.update(
            repr([(subdir, sorted(d.files.items())) for subdir, d in debs.items()]).encode()
        )
    return f"{sources.tier}-{digest.hexdigest()[:16]}"


def _remove_leftovers(cache: Path) -> None:
    """What killed builds left; the lock is held, so no other build is running."""
    for part in cache.glob("part-*"):
        shutil.rmtree(part)


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
