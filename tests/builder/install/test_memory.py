import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import zstandard

from conformance.channel.writer import PLACEHOLDER, Package, file_member, tar_bytes

_MIB = 1024 * 1024
#: One file to copy, one text and one binary to change: together 600 MiB.
_SIZES = {"share/data": 400 * _MIB, "share/text": 100 * _MIB, "lib/binary": 100 * _MIB}
_LIMIT_MIB = 300

_PROGRAM = """
import sys
from pathlib import Path
from builder.install.assemble import assemble
from builder.layer import LayerPackage, LayerPlan
from conformance.channel.writer import Package
from tests.builder.install.layers import record_of
path, scratch = Path(sys.argv[1]), Path(sys.argv[2])
record = record_of(Package("large", "1.0"), b"")
plan = LayerPlan((LayerPackage(record),))
for encoding in ("zstd", "gzip"):
    blob = assemble(plan, {record.sha256: path}, encoding, scratch / encoding, scratch, None)
# Not getrusage: its peak includes that of the process which started this one.
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(blob.tar_size_bytes, int(peak.split()[1]) // 1024)
"""


def _pieces(path: str) -> Iterator[bytes]:
    """A MiB of zeros again and again; in the files to change, the placeholder in each."""
    end = b"" if path == "share/data" else PLACEHOLDER.encode() + b"/x\0"
    piece = end.rjust(_MIB, b"\0" if path != "share/text" else b" ")
    for _ in range(_SIZES[path] // _MIB):
        yield piece


def _write_large_package(path: Path) -> None:
    modes = {"share/text": "text", "lib/binary": "binary"}
    paths = [{"_path": name, "path_type": "hardlink"} for name in _SIZES]
    for entry in paths:
        if entry["_path"] in modes:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": modes[entry["_path"]]}
    index = {"name": "large", "version": "1.0", "build": "0"}
    info = [
        file_member("info/index.json", json.dumps(index).encode()),
        file_member("info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode()),
    ]
    payload = io.BytesIO()
    with zstandard.ZstdCompressor(level=1).stream_writer(payload, closefd=False) as out:
        for name, size in _SIZES.items():
            member, _ = file_member(name, b"")
            member.size = size
            out.write(member.tobuf(tarfile.USTAR_FORMAT))
            for piece in _pieces(name):
                out.write(piece)
        out.write(bytes(1024))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pkg-large-1.0-0.tar.zst", payload.getvalue())
        archive.writestr("info-large-1.0-0.tar.zst", zstandard.compress(tar_bytes(info)))


def test_memory_does_not_grow_with_the_package(tmp_path: Path) -> None:
    path = tmp_path / Package("large", "1.0").filename
    _write_large_package(path)
    answer = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    tar_bytes_written, peak_mib = map(int, answer.stdout.split())
    assert tar_bytes_written > 590 * _MIB
    assert peak_mib < _LIMIT_MIB
