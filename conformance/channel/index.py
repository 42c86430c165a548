"""Repodata of a channel directory: `repodata.json`, `repodata.json.zst` and the shards of CEP 16.

rattler's indexer adds to each record the time at which it was indexed, and the solver then prefers
that time to the package's own: with it, every date cut-off would hide the whole channel. It is
removed everywhere, and what is left depends on the packages alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # ships no types
import zstandard
from rattler.index import index_fs

from conformance.channel.writer import Package, index_json

_SUBDIRS = ("linux-64", "linux-aarch64", "noarch")
_INDEXED = "indexed_timestamp"
#: Seconds for rattler's threads to finish: a process that ends right after awaiting it may crash.
_SETTLE_SECONDS = 0.1


def index_channel(channel: Path, *, only_new: bool = False) -> None:
    """Index every subdir of `channel`; not to be called on a running event loop.

    Args:
        channel: Its folder.
        only_new: Trust what was indexed before, which takes a tenth of the time. Else packages are
            read again, so that one that was rewritten under its old name gets its new hash.
    """
    for subdir in _SUBDIRS:
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    asyncio.run(_index(channel, force=not only_new))
    for repodata in sorted(channel.glob("*/repodata.json")):
        _normalise(repodata.parent)


async def _index(channel: Path, *, force: bool) -> None:
    await index_fs(channel, force=force)
    await asyncio.sleep(_SETTLE_SECONDS)


def write_repodata(channel: Path, packages: Iterable[tuple[Package, bytes]]) -> None:
    """Write plain and zstd repodata of all subdirs from what the packages say of themselves.

    Opens no archive: for packages that an indexer would choke on, and for channels of a few tiny
    packages, which it makes in a millisecond. There are no shards.

    Args:
        channel: Its folder; what is not among `packages` is not listed.
        packages: Each package and the bytes of its file.
    """
    groups: dict[str, dict[str, dict[str, Any]]] = {
        subdir: {"packages": {}, "packages.conda": {}} for subdir in _SUBDIRS
    }
    for package, data in packages:
        record = index_json(package) | {
            "md5": hashlib.md5(data).hexdigest(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        }
        group = "packages.conda" if package.extension == ".conda" else "packages"
        groups[package.subdir][group][package.filename] = record
    for subdir, records in groups.items():
        (channel / subdir).mkdir(parents=True, exist_ok=True)
        _write(channel / subdir, {"info": {"subdir": subdir}, **records, "repodata_version": 1})


def _write(subdir: Path, repodata: dict[str, Any]) -> None:
    text = json.dumps(repodata, sort_keys=True, separators=(",", ":")).encode()
    _replace(subdir / "repodata.json", text)
    _replace(subdir / "repodata.json.zst", zstandard.compress(text, 10))


def _normalise(subdir: Path) -> None:
    repodata = json.loads((subdir / "repodata.json").read_bytes())
    for group in ("packages", "packages.conda"):
        for record in repodata.get(group, {}).values():
            record.pop(_INDEXED, None)
    _write(subdir, repodata)
    if (subdir / "repodata_shards.msgpack.zst").exists():
        _normalise_shards(subdir)


def _normalise_shards(subdir: Path) -> None:
    """Rewrite each shard under the name of its new hash, then the index that names them."""
    index_path = subdir / "repodata_shards.msgpack.zst"
    index = _unpack(index_path.read_bytes())
    folder = subdir / index["info"].get("shards_base_url", "")
    old = {folder / f"{digest.hex()}.msgpack.zst" for digest in index["shards"].values()}
    new: set[Path] = set()
    for name in sorted(index["shards"]):
        shard = _unpack((folder / f"{index['shards'][name].hex()}.msgpack.zst").read_bytes())
        for group in ("packages", "packages.conda"):
            records = shard.get(group, {})
            for record in records.values():
                record.pop(_INDEXED, None)
            shard[group] = {filename: records[filename] for filename in sorted(records)}
        data = _pack(shard)
        digest = hashlib.sha256(data).digest()
        index["shards"][name] = digest
        path = folder / f"{digest.hex()}.msgpack.zst"
        _replace(path, data)
        new.add(path)
    # Sorted, and without the time at which the indexer ran.
    index["shards"] = dict(sorted(index["shards"].items()))
    index["info"].pop("created_at", None)
    _replace(index_path, _pack(index))
    for path in old - new:
        path.unlink(missing_ok=True)


def _pack(value: object) -> bytes:
    return zstandard.compress(msgpack.packb(value), 10)


def _unpack(data: bytes) -> dict[str, Any]:
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    value = msgpack.unpackb(raw, strict_map_key=False)
    assert isinstance(value, dict)
    return value


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
