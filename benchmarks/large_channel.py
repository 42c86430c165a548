"""A channel of half a million records shaped like conda-forge's, as sharded repodata (CEP 16).

There are no packages behind it. What is like conda-forge: 25,000 names; libraries with two majors,
and compiled packages that each have a build for every Python and are pinned to the major that was
current; pure Python packages that need others since some version; and that a few names, such as
Python and the first of each kind, are needed by nearly everything.

It is a pure function of this file, which is part of the key it is kept under.
"""

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]  # ships no types
import zstandard

from builder.platforms import NOARCH, Subdir

_LIBRARIES: Final = 4_000
_LIBRARY_VERSIONS: Final = 25
_COMPILED: Final = 6_000
_COMPILED_VERSIONS: Final = 10
_PURE: Final = 15_000
_PURE_VERSIONS: Final = 8
_PYTHONS: Final = ("3.9", "3.10", "3.11", "3.12", "3.13")
_PATCHES: Final = 8
#: So many of the first libraries are below Python.
_BELOW_PYTHON: Final = 10
#: 2026-11-01 and what lies between two versions, in milliseconds.
NEWEST_MS: Final = 1_793_491_200_000
_STEP_MS: Final = 60 * 86_400_000

#: Names with their records by file name.
_Shards = Iterator[tuple[str, dict[str, dict[str, Any]]]]


def ensure_large_channel(divisor: int = 1) -> Path:
    """Return the channel's directory, after writing it if it is not there.

    Args:
        divisor: How many times fewer names of each kind, for a short run.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    cache = root / "pullforge" / "large-channel"
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    target = cache / f"{key}-{divisor}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.iterdir():
            if not old.name.startswith(key):  # nobody needs what another version wrote
                shutil.rmtree(old)
        part = Path(tempfile.mkdtemp(prefix=f"{key}-part-", dir=cache))
        counts = [count // divisor for count in (_LIBRARIES, _COMPILED, _PURE)]
        _write(part / "linux-64", "linux-64", _compiled_shards(*counts[:2]))
        _write(part / NOARCH, NOARCH, _pure_shards(*counts[1:]))
        part.chmod(0o755)
        part.rename(target)
    return target


def count_records(channel: Path) -> int:
    """Return how many records the channel has."""
    return sum(int((channel / subdir / "count").read_text()) for subdir in ("linux-64", NOARCH))


def _write(directory: Path, subdir: str, shards: _Shards) -> None:
    (directory / "shards").mkdir(parents=True)
    compressor = zstandard.ZstdCompressor(level=3)
    index: dict[str, bytes] = {}
    records_count = 0
    for name, records in shards:
        shard = {"packages": {}, "packages.conda": records, "removed": []}
        data = compressor.compress(msgpack.packb(shard))
        digest = hashlib.sha256(data)
        (directory / "shards" / f"{digest.hexdigest()}.msgpack.zst").write_bytes(data)
        index[name] = digest.digest()
        records_count += len(records)
    info = {"subdir": subdir, "base_url": "", "shards_base_url": "./shards/"}
    packed = msgpack.packb({"info": info, "shards": index})
    (directory / "repodata_shards.msgpack.zst").write_bytes(compressor.compress(packed))
    (directory / "count").write_text(str(records_count))


def _compiled_shards(libraries: int, compiled: int) -> _Shards:
    """Yield what there is for one platform: libraries, Python, and what has a build for each."""
    chance = random.Random(1)
    for number in range(libraries):
        below = {_popular(chance, number) for _ in range(min(number, chance.randrange(4)))}
        yield _shard(f"lib{number}", _library_records(number, sorted(below)))
    yield _shard("python", _pythons())
    for number in range(compiled):
        yield _shard(f"compiled{number}", _builds(chance, number, libraries))


def _library_records(number: int, below: list[int]) -> Iterator[dict[str, Any]]:
    for age in range(_LIBRARY_VERSIONS):
        needed = [_library(other, age) for other in below]
        yield _record(f"lib{number}", _library_version(age), "h0_0", age, "linux-64", needed)


def _pythons() -> Iterator[dict[str, Any]]:
    for minor in _PYTHONS:
        for age in range(_PATCHES):
            needed = [_library(below, age) for below in range(_BELOW_PYTHON)]
            version = f"{minor}.{_PATCHES - age}"
            yield _record("python", version, "h0_0_cpython", age, "linux-64", needed)


def _builds(chance: random.Random, number: int, libraries: int) -> Iterator[dict[str, Any]]:
    """Yield the records of one compiled package, for every version and Python."""
    below = {_popular(chance, libraries) for _ in range(chance.randrange(4))}
    beside = {_popular(chance, number) for _ in range(min(number, chance.randrange(4)))}
    for age in range(_COMPILED_VERSIONS):
        for minor in _PYTHONS:
            major, small = minor.split(".")
            needed = [f"python >={minor},<{major}.{int(small) + 1}.0a0"]
            needed += [_library(other, age) for other in sorted(below)]
            needed += [
                f"compiled{other} >={_version(_COMPILED_VERSIONS - 1)}" for other in sorted(beside)
            ]
            build = f"py{major}{small}h0_0"
            yield _record(f"compiled{number}", _version(age), build, age, "linux-64", needed)


def _pure_shards(compiled: int, pure: int) -> _Shards:
    """Yield what there is for all platforms."""
    chance = random.Random(2)
    for number in range(pure):
        needed = ["python >=3.9"]
        for _ in range(min(number, chance.randrange(6))):
            other = f"pure{_popular(chance, number)}"
            needed.append(f"{other} >={_version(chance.randrange(_PURE_VERSIONS))}")
        if chance.random() < 0.3:
            needed.append(f"compiled{_popular(chance, compiled)}")
        yield _shard(
            f"pure{number}",
            (
                _record(f"pure{number}", _version(age), "pyhd8ed1ab_0", age, NOARCH, needed)
                for age in range(_PURE_VERSIONS)
            ),
        )


def _popular(chance: random.Random, count: int) -> int:
    """Return a number below ``count``, a small one most of the time."""
    return int(count * chance.random() ** 3)


def _library(number: int, age: int) -> str:
    """Return the spec of what was built against a library when it was ``age`` steps ago."""
    major = _library_version(age).split(".")[0]
    return f"lib{number} >={major}.0.0,<{int(major) + 1}.0a0"


def _library_version(age: int) -> str:
    return f"{2 if age < _LIBRARY_VERSIONS // 2 else 1}.{_LIBRARY_VERSIONS - age}.0"


def _version(age: int) -> str:
    """Return the version that was the newest ``age`` steps ago."""
    return f"1.{_LIBRARY_VERSIONS - age}.0"


def _shard(name: str, records: Iterator[dict[str, Any]]) -> tuple[str, dict[str, dict[str, Any]]]:
    return name, {
        f"{record['name']}-{record['version']}-{record['build']}.conda": record
        for record in records
    }


def _record(
    name: str, version: str, build: str, age: int, subdir: Subdir | str, depends: list[str]
) -> dict[str, Any]:
    record = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "subdir": subdir,
        "depends": depends,
        "license": "BSD-3-Clause",
        "md5": hashlib.md5(f"{name}{version}{build}".encode()).digest(),
        "sha256": hashlib.sha256(f"{name}{version}{build}".encode()).digest(),
        "size": 100_000,
        "timestamp": NEWEST_MS - age * _STEP_MS,
    }
    return record | ({"noarch": "python"} if subdir == NOARCH else {})
