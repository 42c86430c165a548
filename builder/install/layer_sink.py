"""Where a layer's tar goes: hashed, compressed, hashed again and written, on all cores.

The tar is cut every 4 MiB, and each piece becomes a zstd frame or a gzip member of its own: both
formats say that such pieces one after the other are one stream (RFC 8878, 3.1; RFC 1952, 2.2), and
every client reads them so. Pieces can be compressed side by side, and their bytes depend on nothing
but the tar: neither the number of threads nor their order has a say.
"""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final

import zstandard
from isal import isal_zlib

from builder.install.tar_reader import Buffer
from builder.layer import Encoding, LayerBlob
from builder.oci.digest import Digest

#: Part of the format: another size gives other bytes. 1 MiB costs 2 % in size, 8 MiB gains nothing.
_PIECE: Final = 4 * 1024 * 1024
_ZSTD_LEVEL: Final = 3
_GZIP_LEVEL: Final = 1
#: zlib's ``wbits`` for a gzip header and the largest window; ISA-L writes neither time nor name.
_GZIP_WINDOW: Final = 31


def compress_piece(piece: Buffer, encoding: Encoding) -> bytes:
    """Return ``piece`` as a zstd frame or gzip member; a pure function on any CPU we run on.

    ISA-L writes the same bytes with SSE 4.2, AVX2 and AVX-512 (measured with qemu), but others on
    x86 before 2009: see :mod:`builder.install.encoder_check`.
    """
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=False).compress(piece)
    compressed: bytes = isal_zlib.compress(piece, _GZIP_LEVEL, _GZIP_WINDOW)
    return compressed


class LayerSink:
    """Takes a tar in any portions and writes the compressed layer. Not for use by many threads."""

    def __init__(self, out: BinaryIO, encoding: Encoding, threads: int) -> None:
        """Start the threads; :meth:`finish` or :meth:`abort` must be called.

        Args:
            out: Where the compressed layer goes; written by one thread at a time.
            encoding: How it is compressed.
            threads: How many pieces are compressed side by side. The result does not depend on it.
        """
        self._out = out
        self._encoding: Encoding = encoding
        self._threads = threads
        self._piece = bytearray(_PIECE)
        self._view = memoryview(self._piece)
        self._filled = 0
        self._tar_hash = hashlib.sha256()
        self._blob_hash = hashlib.sha256()
        self._tar_size = 0
        self._blob_size = 0
        self._compressors = ThreadPoolExecutor(threads, "compress")
        # One thread each: hashing and writing are in the order of the tar.
        self._hasher = ThreadPoolExecutor(1, "hash")
        self._writer = ThreadPoolExecutor(1, "write")
        self._under_way: deque[tuple[Future[None], Future[None]]] = deque()

    def write(self, data: Buffer) -> None:
        """Append to the tar.

        Raises:
            OSError: An earlier piece could not be written.
        """
        end = self._filled + len(data)
        if end < _PIECE:
            self._view[self._filled : end] = data
            self._filled = end
            return
        rest = memoryview(data)
        while rest:
            part = rest[: _PIECE - self._filled]
            self._view[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == _PIECE:
                self._submit()

    def finish(self) -> LayerBlob:
        """Write what is left and return the layer; the threads are gone.

        Raises:
            OSError: A piece could not be written.
        """
        if self._filled:
            self._submit()
        while self._under_way:
            self._wait()
        self._shut_down()
        return LayerBlob(
            encoding=self._encoding,
            digest=Digest(f"sha256:{self._blob_hash.hexdigest()}"),
            size_bytes=self._blob_size,
            diff_id=Digest(f"sha256:{self._tar_hash.hexdigest()}"),
            tar_size_bytes=self._tar_size,
        )

    def abort(self) -> None:
        """Stop the threads; what was written is of no use. Harmless after :meth:`finish`."""
        self._shut_down()

    def _submit(self) -> None:
        piece = self._view[: self._filled]
        self._tar_size += self._filled
        hashed = self._hasher.submit(self._tar_hash.update, piece)
        compressed = self._compressors.submit(compress_piece, piece, self._encoding)
        written = self._writer.submit(self._write_piece, compressed)
        self._under_way.append((hashed, written))
        self._piece = bytearray(_PIECE)
        self._view = memoryview(self._piece)
        self._filled = 0
        # Bounds the memory: so many pieces and one are alive at a time.
        while len(self._under_way) > self._threads + 1:
            self._wait()

    def _wait(self) -> None:
        for future in self._under_way.popleft():
            future.result()

    def _write_piece(self, compressed: Future[bytes]) -> None:
        data = compressed.result()
        self._blob_hash.update(data)
        self._blob_size += len(data)
        self._out.write(data)

    def _shut_down(self) -> None:
        for pool in (self._compressors, self._hasher, self._writer):
            pool.shutdown(wait=True, cancel_futures=True)
