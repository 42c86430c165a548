"""``assembly-memory``: the most memory that a worker holds while it assembles a package of 2 GB.

The package is generated: half of it a file that hardly compresses, the other half a binary and a
text with the prefix to replace once in each MiB.
"""

import asyncio
import json
import random
import zipfile
from pathlib import Path
from typing import Final

import zstandard

from benchmarks.bench import Bench
from benchmarks.figure import MB, Figure
from benchmarks.processes import peak_memory_bytes
from builder.install.assemble import assemble
from builder.layer import LayerBlob, LayerPackage, LayerPlan
from builder.records import PackageRecord
from conformance.channel.writer import PLACEHOLDER, file_member, tar_bytes
from registry.images.processes import LocalProcesses

_MIB: Final = 1024 * 1024
_PREFIX: Final = PLACEHOLDER.encode() + b"/lib\0"
#: Each file's part of the package, and what is replaced in it.
_FILES: Final = {
    "share/data": (1 / 2, None),
    "lib/binary": (1 / 4, "binary"),
    "share/text": (1 / 4, "text"),
}
_INDEX: Final = {"name": "large", "version": "1.0", "build": "0"}


def measure(bench: Bench) -> Figure:
    """Return the peak of a worker's resident memory."""
    scratch = bench.directory("memory")
    archive = scratch / "large.conda"
    _write_package(archive, 64 if bench.short else 2048)
    size = archive.stat().st_size
    blob, peak = asyncio.run(_assemble(archive, size, scratch))
    note = f"archive {size / MB:,.0f} MB, layer {blob.tar_size_bytes / MB:,.0f} MB"
    return Figure(peak / MB, 1, note)


async def _assemble(archive: Path, size: int, scratch: Path) -> tuple[LayerBlob, int]:
    """Assemble the layer as a server does, and ask the process that did it for its peak."""
    record = PackageRecord(
        name=_INDEX["name"],
        version=_INDEX["version"],
        build=_INDEX["build"],
        build_number=0,
        subdir="noarch",
        url="http://channel.test/noarch/large-1.0-0.conda",
        sha256="0" * 64,  # what is assembled has been verified
        md5="0" * 32,
        size_bytes=size,
    )
    plan = LayerPlan((LayerPackage(record),))
    workers = LocalProcesses(1)
    try:
        blob = await workers.run(
            assemble, plan, {record.sha256: archive}, "zstd", scratch / "layer", scratch, None
        )
        return blob, await workers.run(peak_memory_bytes)
    finally:
        workers.close()


def _write_package(archive: Path, size_mib: int) -> None:
    paths = [
        {"_path": path, "path_type": "hardlink"}
        | ({"prefix_placeholder": PLACEHOLDER, "file_mode": mode} if mode else {})
        for path, (_, mode) in _FILES.items()
    ]
    info = [
        file_member("info/index.json", json.dumps(_INDEX).encode()),
        file_member("info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode()),
    ]
    compressor = zstandard.ZstdCompressor(level=1)
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("info-large-1.0-0.tar.zst", compressor.compress(tar_bytes(info)))
        with (
            package.open("pkg-large-1.0-0.tar.zst", "w", force_zip64=True) as member,
            compressor.stream_writer(member, closefd=False) as tar,
        ):
            for path, (part, mode) in _FILES.items():
                header, _ = file_member(path, b"")
                pieces = round(size_mib * part)
                header.size = pieces * _MIB
                tar.write(header.tobuf())
                for number in range(pieces):
                    tar.write(_piece(number, mode))
            tar.write(bytes(1024))


def _piece(number: int, mode: str | None) -> bytes:
    """Return a MiB, another one for each number."""
    source = random.Random(number)
    if mode is None:
        return source.randbytes(_MIB)
    if mode == "binary":
        return source.randbytes(_MIB - len(_PREFIX)) + _PREFIX
    return source.randbytes(_MIB // 2).hex().encode()[len(_PREFIX) :] + _PREFIX.replace(
        b"\0", b"\n"
    )
