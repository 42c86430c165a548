"""The finished index on disk, by a key of everything it is made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import tomllib
from pathlib import Path

from conformance.channel.wheel_cache import fetch_wheels, wheel_path
from conformance.channel.wheel_lock import Tier, read_lock, relock
from conformance.pypi.index import write_index

_FOLDER = Path(__file__).parent
_PACKAGES_FILE = _FOLDER / "recipe" / "packages.toml"
_LOCK_FILE = _FOLDER / "recipe" / "wheels.json"


def default_cache() -> Path:
    """`pullforge/pypi` in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "pullforge" / "pypi"


def ensure(tier: Tier = "full", cache: Path | None = None) -> Path:
    """Return the folder of the index, which nobody may write into; it is made if it is not there.

    Its address, once `ChannelServer` serves it, is `<url>/simple`. What is killed leaves nothing
    that is taken for an index; processes that ask at the same time wait for one another.

    Raises:
        RuntimeError: A wheel cannot be had.
    """
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cache / f"{tier}-{_key()}"
        if not folder.exists():
            for leftover in cache.glob("part-*"):
                shutil.rmtree(leftover)
            packages = tomllib.loads(_PACKAGES_FILE.read_text())
            wheels = [w for w in read_lock(tier, _LOCK_FILE) if w.name not in packages["left-out"]]
            fetch_wheels(wheels, cache)
            part = Path(tempfile.mkdtemp(prefix="part-", dir=cache))
            uploaded = {wheel_path(wheel, cache): wheel.uploaded for wheel in wheels}
            write_index(part, uploaded, packages["source"])
            part.chmod(0o755)
            part.rename(folder)
    return folder


def relock_index() -> int:
    """Resolve `packages.toml` anew against PyPI; return how many wheels are pinned now."""
    return relock(_PACKAGES_FILE, _LOCK_FILE)


def _key() -> str:
    digest = hashlib.sha256()
    for path in (_PACKAGES_FILE, _LOCK_FILE, Path(__file__), _FOLDER / "index.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
