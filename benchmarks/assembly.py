"""``assembly``: layers of large packages, against C programs that do the same to the same bytes.

::

    ours     a process for each processor: unzip, decompress, read tar, replace prefixes,
             write tar, hash, compress, hash, write
    theirs   a pipeline for each processor: zstd -d | sha256sum and zstd | sha256sum, write

The C programs get the payloads already taken out of the ``.conda`` files, and replace nothing.
zstd decides; gzip, by Intel's igzip, is beside it.
"""

import asyncio
import multiprocessing
import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import MB, Figure, Measurement, interleaved, medians
from benchmarks.images import EVERYDAY, lock
from builder.build.grouping import ALONE_BYTES
from builder.install.assemble import assemble
from builder.layer import Encoding, LayerPackage, LayerPlan
from builder.records import PackageRecord

#: The levels are those of :mod:`builder.install.layer_sink`.
_COMPRESS: Final[dict[Encoding, str]] = {"zstd": "zstd -3 -T1 -q -c", "gzip": "igzip -1 -c"}
_PIPELINE: Final = (
    "set -o pipefail; zstd -d -q -c {payload} | tee >(sha256sum > {out}.tar-sum)"
    " | {compress} | tee {out} | sha256sum > {out}.sum"
)


def measure(bench: Bench) -> Figure:
    """Return our bytes a second as a part of the C programs'."""
    records = asyncio.run(_large_packages(bench))
    if bench.short:
        records = records[:1]
    scratch = bench.directory("assembly")
    archives = [bench.paths.channel / record.subdir / record.file_name for record in records]
    payloads = [_payload(archive, scratch) for archive in archives]
    processors = len(os.sched_getaffinity(0))
    spawn = multiprocessing.get_context("spawn")
    runs = bench.runs(3)
    with (
        ProcessPoolExecutor(processors, mp_context=spawn) as processes,
        ThreadPoolExecutor(processors) as threads,
    ):
        # Starting the processes is no part of it.
        size = sum(processes.map(_ours, records, archives, repeat("zstd"), repeat(scratch)))
        sides: dict[str, Measurement] = {}
        for encoding in _COMPRESS:
            ours = partial(_seconds, processes, _ours, records, archives, encoding, scratch)
            theirs = partial(_seconds, threads, _theirs, records, payloads, encoding, scratch)
            sides |= {f"ours {encoding}": ours, f"theirs {encoding}": theirs}
        seconds = medians(interleaved(runs, sides))
    note = f"{len(records)} packages, {size / MB:.0f} MB; " + ", ".join(
        f"{name} {size / MB / seconds[name]:.0f} MB/s" for name in sides
    )
    return Figure(seconds["theirs zstd"] / seconds["ours zstd"], runs, note)


async def _large_packages(bench: Bench) -> list[PackageRecord]:
    """Return the packages of an everyday environment that have layers of their own."""
    async with bench.builder() as builder:
        records = (await lock(builder, EVERYDAY)).platforms["linux-64"]
    return [record for record in records if record.size_bytes >= ALONE_BYTES]


def _payload(archive: Path, scratch: Path) -> Path:
    """Take the compressed tar of a package's files out of its archive."""
    with zipfile.ZipFile(archive) as members:
        (name,) = (name for name in members.namelist() if name.startswith("pkg-"))
        return Path(members.extract(name, scratch))


def _seconds(
    pool: Executor,
    work: Callable[[PackageRecord, Path, Encoding, Path], int],
    records: Sequence[PackageRecord],
    inputs: Sequence[Path],
    encoding: Encoding,
    scratch: Path,
) -> float:
    """Return how long it takes to do the work for every package."""
    os.sync()
    started = time.monotonic()
    for _ in pool.map(work, records, inputs, repeat(encoding), repeat(scratch)):
        pass
    return time.monotonic() - started


def _ours(record: PackageRecord, archive: Path, encoding: Encoding, scratch: Path) -> int:
    """Assemble one layer and return the size of its tar."""
    out = scratch / f"{record.name}.layer"
    plan = LayerPlan((LayerPackage(record),))
    blob = assemble(plan, {record.sha256: archive}, encoding, out, scratch, None)
    out.unlink()
    return blob.tar_size_bytes


def _theirs(record: PackageRecord, payload: Path, encoding: Encoding, scratch: Path) -> int:
    out = scratch / f"{record.name}.compressed"
    command = _PIPELINE.format(payload=payload, out=out, compress=_COMPRESS[encoding])
    subprocess.run(["bash", "-c", command], check=True)
    size = out.stat().st_size
    out.unlink()
    return size
