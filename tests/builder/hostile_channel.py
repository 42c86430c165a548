"""A channel that sends what no channel should, and as much of it as is taken."""

import bz2
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat

import msgpack  # type: ignore[import-untyped]  # has no types
import zstandard

from tests.builder.fake_channel import package

#: What is sent, piece by piece, for paths in the channel such as ``linux-64/repodata.json``.
Files = Mapping[str, Callable[[], Iterable[bytes]]]

EMPTY = [b'{"packages": {}, "packages.conda": {}}']
MIB = 1024**2


@contextmanager
def hostile_channel(files: Files) -> Iterator[str]:
    """Serve ``files``, each a function that returns pieces, and an empty noarch; give the address.

    A path that is not there is answered 404.
    """
    served: Files = {"noarch/repodata.json": lambda: EMPTY, **files}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            make = served.get(self.path.strip("/"))
            if make is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Content-Type", "text/html")  # which only an index of PyPI needs
            self.send_header("ETag", '"always-the-same"')
            self.end_headers()
            if self.command == "HEAD":
                return
            for piece in make():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        do_HEAD = do_GET  # noqa: N815 - as the base class looks for it

        def log_message(self, *_args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_args: object) -> None:
            """Stay silent about clients that went away."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def endless() -> Iterator[bytes]:
    """Yield the beginning of an index and never its end."""
    return chain([b'{"packages": {'], repeat(b" " * MIB))


def zstd_bomb(size_bytes: int) -> list[bytes]:
    """Return one frame that unpacks to so much, of which it is a ten-thousandth."""
    return [zstandard.compress(b" " * size_bytes)]


def bz2_bomb(size_bytes: int) -> list[bytes]:
    """Return one stream that unpacks to so much."""
    return [bz2.compress(b" " * size_bytes)]


def nested() -> list[bytes]:
    """Return an index of a million lists in each other."""
    return [b'{"packages": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"]


def tiny_records(count: int) -> Iterator[bytes]:
    """Yield an index of so many records, each of which is nothing."""
    yield b'{"packages.conda": {'
    for start in range(0, count, 100_000):
        yield b"".join(b'"a-%x-0.conda":{},' % n for n in range(start, start + 100_000))
    yield b'"b-1-0.conda":{}}}'


def long_name(size_bytes: int) -> Iterator[bytes]:
    """Yield an index of one package with such a name."""
    yield b'{"packages.conda": {"'
    yield from repeat(b"a" * MIB, size_bytes // MIB)
    yield b'-1-0.conda": {}}}'


def drip() -> Iterator[bytes]:
    """Yield an index at ten bytes a second."""
    yield b'{"packages": {'
    while True:
        time.sleep(0.1)
        yield b" "


def shards(packages: Mapping[str, bytes], *, named: int = 0, pause_seconds: float = 0) -> Files:
    """Return the files of an index in shards, with ``named`` more shards that are not there."""
    listed = {name: hashlib.sha256(data).digest() for name, data in packages.items()}
    everything = {**listed, **{f"n{i:x}": i.to_bytes(32, "big") for i in range(named)}}
    info = {"base_url": "./", "shards_base_url": "./shards/", "subdir": "linux-64"}
    index = zstandard.compress(msgpack.packb({"info": info, "shards": everything}))
    files: dict[str, Callable[[], Iterable[bytes]]] = {
        "linux-64/repodata_shards.msgpack.zst": lambda: [index]
    }
    for name, data in packages.items():
        path = f"linux-64/shards/{listed[name].hex()}.msgpack.zst"
        files[path] = partial(_paused, data, pause_seconds)
    return files


def shard(name: str, *depends: str) -> bytes:
    """Return a shard of one package."""
    record = package(name, "1.0", *depends)
    record |= {key: bytes.fromhex(record[key]) for key in ("md5", "sha256")}
    packages = {f"{name}-1.0-0.conda": record}
    return zstandard.compress(
        msgpack.packb({"packages": {}, "packages.conda": packages, "removed": []})
    )


def _paused(data: bytes, pause_seconds: float) -> Iterator[bytes]:
    time.sleep(pause_seconds)
    yield data
