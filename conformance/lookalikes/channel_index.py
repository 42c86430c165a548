"""A channel's index in all forms that servers have, with what time and hands have changed in it.

A hotfix of an index changes records, not packages, and takes packages out of it ("repodata
patches"); old channels have records without md5 or without sha256. An edit stands for either::

    def without_sha256(record: Record) -> None:
        record.pop("sha256")
"""

from __future__ import annotations

import bz2
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # ships no types
import zstandard

Record = dict[str, Any]
#: Changes a record as the index has it; the file names it.
Edit = Callable[[Record], object]

SHARDS = "repodata_shards.msgpack.zst"
_DIGESTS = ("md5", "sha256")
_KINDS = ("packages", "packages.conda")


def index_files(
    subdir: Path, edit: Edit, removed: Collection[str], shards_url: str, base_url: str
) -> Mapping[str, bytes]:
    """Return name and content of every file of a subdir's index; shards by their digest.

    Args:
        subdir: The directory of the channel.
        edit: Is called with each record, which has `fn` besides what the index says.
        removed: File names that the index says to be removed.
        shards_url: Where shards lie, with a slash at its end; may be relative to the subdir.
        base_url: Where packages lie; `""` for beside the index.

    Source:
        CEP 16 (sharded repodata), CEP 15 (`base_url`).
    """
    index = json.loads((subdir / "repodata.json").read_bytes())
    shards: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"packages": {}, "packages.conda": {}, "removed": []}
    )
    gone = sorted(set(removed) & {name for kind in _KINDS for name in index[kind]})
    for kind in _KINDS:
        index[kind] = {name: record for name, record in index[kind].items() if name not in removed}
        for name, record in index[kind].items():
            _apply(edit, record, name)
            shards[record["name"]][kind][name] = record | {
                key: bytes.fromhex(record[key]) for key in _DIGESTS if record.get(key)
            }
    index["removed"] = gone
    if base_url:
        index["info"]["base_url"], index["repodata_version"] = base_url, 2
    packed = {name: _zst(msgpack.packb(shard)) for name, shard in shards.items()}
    info = {"subdir": subdir.name, "base_url": base_url, "shards_base_url": shards_url}
    listing = {"info": info, "shards": {name: sha256(d).digest() for name, d in packed.items()}}
    plain = json.dumps(index).encode()
    return {
        "repodata.json": plain,
        "repodata.json.zst": _zst(plain),
        "repodata.json.bz2": bz2.compress(plain),
        SHARDS: _zst(msgpack.packb(listing)),
        **{f"{sha256(data).hexdigest()}.msgpack.zst": data for data in packed.values()},
    }


def _apply(edit: Edit, record: Record, name: str) -> None:
    record["fn"] = name
    edit(record)
    del record["fn"]


def _zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)
