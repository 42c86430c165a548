"""The bytecode that the compiler made for an environment, in one file.

A directory of the environment is made by programs that run no code of packages: what only Python
can make comes from the layers of the image, where it is already.

::

    layers ─→ their modules' bytecode, spooled ─→ a tar, sorted by path, relative to the prefix
"""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from builder.install.layer_sink import LayerSink
from builder.install.layout import ROOT
from builder.install.tar_reader import TarReader
from builder.install.tar_writer import TarWriter
from builder.layer import LayerBlob
from builder.oci.digest import Digest

_CHUNK: Final = 1024 * 1024
_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class _Spooled:
    mtime: int
    start: int
    size_bytes: int


def write_bytecode(
    layers: Sequence[tuple[LayerBlob, Path]], compiled: Collection[str], out: Path, scratch: Path
) -> Digest:
    """Write the tar to ``out``, the same bytes for the same layers; no file is left on failure.

    Args:
        layers: Those that have modules, compressed with zstd, with the files in which they are.
        compiled: Where bytecode is that the compiler has made, if it could, relative to the prefix.
        out: Does not exist.
        scratch: A directory for temporary files.

    Returns:
        The digest of what was written.

    Raises:
        FileNotFoundError: A layer is gone.
    """
    with tempfile.TemporaryFile(dir=scratch) as spool, out.open("xb") as file:
        sink = LayerSink(file, "zstd", 2)
        try:
            found: dict[str, _Spooled] = {}
            wanted = {ROOT + path for path in compiled}
            for blob, layer in layers:
                found.update(_spool(layer, blob.tar_size_bytes, wanted, spool))
            tar = TarWriter(sink.write)
            for path in sorted(found):
                one = found[path]
                tar.add_file(path, _MODE, one.mtime, one.size_bytes, _read(spool, one))
            tar.finish()
            return sink.finish().digest
        except BaseException:
            out.unlink()
            raise
        finally:
            sink.abort()


def _spool(
    layer: Path, tar_size_bytes: int, wanted: Collection[str], spool: BinaryIO
) -> Iterator[tuple[str, _Spooled]]:
    """Write the bytecode of a layer to ``spool``; yield where each file of it is."""
    with layer.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        for entry in TarReader(stream.read, tar_size_bytes + _CHUNK):
            if entry.kind == "file" and entry.name in wanted:
                start = spool.tell()
                spool.writelines(entry.chunks())
                yield entry.name.removeprefix(ROOT), _Spooled(entry.mtime, start, entry.size)


def _read(spool: BinaryIO, one: _Spooled) -> Iterator[bytes]:
    spool.seek(one.start)
    left = one.size_bytes
    while left:
        chunk = spool.read(min(left, _CHUNK))
        left -= len(chunk)
        yield chunk
