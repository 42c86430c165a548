"""``warm-blob``: how fast a blob of 64 MB comes from disk, over four connections.

The file is in the system's cache. Each server has one half of the processors; how long it keeps
them busy for a gigabyte is beside the figure.
"""

import hashlib
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from benchmarks.bench import Bench
from benchmarks.docker_registry import DockerRegistry
from benchmarks.figure import MB, Figure, interleaved, medians
from benchmarks.processes import cpu_seconds, halves, on_processors
from builder.keys import blob_key
from builder.oci.digest import Digest
from registry.storage.layout import origin_key

_CONNECTIONS: Final = 4
_REPOSITORY: Final = "env/python"
_TIMEOUT_SECONDS: Final = 60


def measure(bench: Bench) -> Figure:
    """Return our bytes a second as a multiple of docker-registry's."""
    servers, clients = halves()
    assert bench.channel.url  # which runs anywhere
    blob = random.Random(64).randbytes(8_000_000 if bench.short else 64_000_000)
    digest = Digest(f"sha256:{hashlib.sha256(blob).hexdigest()}")
    store = bench.directory("server") / "store"
    # As if it belonged to an image made here: through ``env/…`` nothing else is read.
    for key, data in ((blob_key(digest), blob), (origin_key(digest), b"{}")):
        (store / key).parent.mkdir(parents=True)
        (store / key).write_bytes(data)
    with ExitStack() as stack:
        with on_processors(servers):
            ours = stack.enter_context(bench.server(store))
            theirs = stack.enter_context(DockerRegistry(bench.directory("docker-registry")))
        theirs.upload(_REPOSITORY, blob, digest)
        sides = {
            "ours": _Download(ours.host, ours.pid, digest, len(blob)),
            "docker-registry": _Download(theirs.host, theirs.pid, digest, len(blob)),
        }
        runs = bench.runs(5)
        with on_processors(clients):
            rates = medians(interleaved(runs, {name: side.rate for name, side in sides.items()}))
    note = ", ".join(
        f"{name} {rates[name] / MB:,.0f} MB/s, {side.cpu_seconds_per_gb:.2f} s of processors per GB"
        for name, side in sides.items()
    )
    return Figure(rates["ours"] / rates["docker-registry"], runs, note)


class _Download:
    """Gets one blob over several connections, twice each."""

    def __init__(self, host: str, pid: int, digest: Digest, size_bytes: int) -> None:
        self._host = host
        self._pid = pid
        self._digest = digest
        self._size = size_bytes
        self._bytes = 0
        self._cpu = 0.0

    @property
    def cpu_seconds_per_gb(self) -> float:
        """How long the server kept processors busy for each GB, over all runs."""
        return self._cpu / (self._bytes / 1e9)

    def rate(self) -> float:
        """Return the bytes a second of all connections together."""
        used, started = cpu_seconds(self._pid), time.monotonic()
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            sizes = list(pool.map(lambda _: self._get() + self._get(), range(_CONNECTIONS)))
        seconds = time.monotonic() - started
        self._cpu += cpu_seconds(self._pid) - used
        self._bytes += sum(sizes)
        return sum(sizes) / seconds

    def _get(self) -> int:
        """Read one answer as fast as Python can: into one buffer, and look at none of it."""
        name, _, port = self._host.partition(":")
        request = (
            f"GET /v2/{_REPOSITORY}/blobs/{self._digest} HTTP/1.1\r\nHost: {self._host}\r\n\r\n"
        )
        buffer = memoryview(bytearray(1024 * 1024))
        with socket.create_connection((name, int(port)), _TIMEOUT_SECONDS) as connection:
            connection.sendall(request.encode())
            got = connection.recv(65536)
            head, _, body = got.partition(b"\r\n\r\n")
            assert b" 200 " in head.splitlines()[0], head
            left = self._size - len(body)
            while left:
                size = connection.recv_into(buffer)
                assert size, "the connection was cut"
                left -= size
        return self._size
