"""How a root stands, for Prometheus and for probes."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

#: From a look at a root that is as it is to be, to a first pass over many environments.
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
#: Whoever asks gives up sooner.
_REQUEST_SECONDS: Final = 10
#: A process that has not done anything for so long hangs.
_HANGS_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is in a root after a pass."""

    prefixes: int
    links: int
    packages: int
    #: Of all of it, each file once.
    size_bytes: int
    #: Prefixes and links that could not be made.
    problems: int


class PrefixMetrics:
    """Everything that is counted of one root."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        #: When the root was last known to be what the server says.
        self._equal_at = self._begun_at = now()
        self._is_equal = False
        self._has_passed = False
        self._alive_at = time.monotonic()
        self._registry = registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"pullforge_prefixes_{name}", text, registry=registry)

        lag = gauge("lag_seconds", "For how long the root is perhaps not what the server says.")
        lag.set_function(self.lag_seconds)
        self._success = gauge(
            "last_success_timestamp_seconds", "When a pass last left nothing to be done."
        )
        self._prefixes = gauge("count", "Prefixes in the root.")
        self._links = gauge("links", "Links to them.")
        self._packages = gauge("packages", "Unpacked packages that they share.")
        self._bytes = gauge("bytes", "Bytes of all of it, each file once.")
        self._problems = gauge("problems", "Prefixes and links that the last pass could not make.")
        self._written = Counter(
            "pullforge_prefixes_written_bytes", "Bytes written.", registry=registry
        )
        self._freed = Counter("pullforge_prefixes_freed_bytes", "Bytes freed.", registry=registry)
        self._errors = Counter(
            "pullforge_prefixes_errors",
            "What went wrong: with the server, the root, or a single prefix.",
            ["of"],
            registry=registry,
        )
        for place in ("server", "root", "prefix"):
            self._errors.labels(place)
        self._seconds = Histogram(
            "pullforge_prefixes_pass_seconds",
            "Time of one pass.",
            buckets=_SECONDS,
            registry=registry,
        )

    async def beat(self) -> None:
        """Note every few seconds that the loop of this process runs, for ever."""
        while True:
            self._alive_at = time.monotonic()
            await asyncio.sleep(_HANGS_SECONDS / 20)

    @property
    def is_alive(self) -> bool:
        """Whether the loop runs."""
        return time.monotonic() - self._alive_at < _HANGS_SECONDS

    @property
    def is_ready(self) -> bool:
        """Whether a whole pass was made: what could be made is there."""
        return self._has_passed

    def answered(self, *, is_equal: bool) -> None:
        """Note that the server has just said what is wanted, and whether the root is that."""
        self._is_equal = is_equal
        if is_equal:
            self._equal_at = self._now()

    def failed(self, of: str) -> None:
        """Count what went wrong with the ``"server"`` or the ``"root"``."""
        self._is_equal = False
        self._errors.labels(of).inc()

    def passed(self, seconds: float, counts: Counts, *, is_whole: bool = True) -> None:
        """Note what a pass has left, and whether it has got to everything."""
        self._has_passed |= is_whole
        self._seconds.observe(seconds)
        self._prefixes.set(counts.prefixes)
        self._links.set(counts.links)
        self._packages.set(counts.packages)
        self._bytes.set(counts.size_bytes)
        self._problems.set(counts.problems)
        self._errors.labels("prefix").inc(counts.problems)
        if is_whole and not counts.problems:
            self._success.set(self._now())

    def wrote(self, size_bytes: int) -> None:
        """Count what was written."""
        self._written.inc(size_bytes)

    def freed(self, size_bytes: int) -> None:
        """Count what was freed."""
        self._freed.inc(size_bytes)

    def lag_seconds(self) -> float:
        """Return for how long the root is perhaps not what the server says; 0: it is."""
        return max(self._now() - self._equal_at, 0.0) if not self._is_equal else 0.0

    def render(self) -> bytes:
        """Return all of it in the text format."""
        return generate_latest(self._registry)


def serve_metrics(metrics: PrefixMetrics, address: str, port: int) -> ThreadingHTTPServer:
    """Answer ``/metrics``, ``/healthz`` and ``/readyz`` from a thread, until it is shut down.

    Args:
        metrics: What is told.
        address: Empty: all that the machine has.
        port: 0: any that is free.

    Raises:
        OSError: The address cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, metrics.render())
            elif path == "/healthz":
                self._tell(metrics.is_alive, "it hangs")
            elif path == "/readyz":
                self._tell(metrics.is_ready, "the first pass is not done yet")
            else:
                self._answer(404, "text/plain", b"there are /metrics, /healthz and /readyz\n")

        def _tell(self, is_well: bool, else_this: str) -> None:
            status, text = (200, "ok") if is_well else (503, else_this)
            self._answer(status, "text/plain", f"{text}\n".encode())

        def _answer(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # as it is there
            """Write nothing: probes come every few seconds."""

    # Of all addresses, also those of machines that have others than of IPv4 alone, or none.
    is_any = address == "" and socket.has_dualstack_ipv6()

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if is_any or ":" in address else socket.AF_INET

        def server_bind(self) -> None:
            if is_any:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # Its own would ask for the machine's name, which may take long.
            TCPServer.server_bind(self)
            self.server_name, self.server_port = address, self.server_address[1]

    server = Server((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
