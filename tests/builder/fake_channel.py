"""A channel of packages that exist in its repodata alone: solving needs no archives."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from builder.spec import Channel

#: 14 November 2023.
PUBLISHED_MS = 1_700_000_000_000


def package(
    name: str,
    version: str = "1.0",
    *depends: str,
    subdir: str = "linux-64",
    timestamp_ms: int | None = PUBLISHED_MS,
    **more: Any,
) -> dict[str, Any]:
    """Return a record as it is in repodata; ``more`` adds or replaces fields, ``None`` removes."""
    content = f"{name}-{version}-{subdir}".encode()
    fields = {
        "name": name,
        "version": version,
        "build": "0",
        "build_number": 0,
        "subdir": subdir,
        "depends": list(depends),
        "size": 1000,
        "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "timestamp": timestamp_ms,
    } | more
    return {field: value for field, value in fields.items() if value is not None}


class FakeChannel:
    """One channel on a loopback server; packages may be added while it serves."""

    def __init__(self, name: str, root: str) -> None:
        self.channel = Channel(name, f"{root}/{name}")
        self.packages: list[dict[str, Any]] = []
        #: Those that lie there as ``.tar.bz2``.
        self.old_format: list[dict[str, Any]] = []
        #: Answered instead of repodata, if set.
        self.status: int | None = None
        #: Sent instead of repodata, if set.
        self.body: bytes | None = None
        #: Set to let requests that were held go on.
        self.gate = threading.Event()
        self.gate.set()

    def add(self, *packages: dict[str, Any]) -> Channel:
        """Publish packages and return the channel."""
        self.packages += packages
        return self.channel

    def repodata(self, subdir: str) -> bytes:
        """Return what the channel has for one subdir."""
        if self.body is not None:
            return self.body
        found = {
            f"{p['name']}-{p['version']}-{p['build']}.conda": p
            for p in self.packages
            if p["subdir"] == subdir
        }
        old = {
            f"{p['name']}-{p['version']}-{p['build']}.tar.bz2": p
            for p in self.old_format
            if p["subdir"] == subdir
        }
        content = {"info": {"subdir": subdir}, "packages": old, "packages.conda": found}
        return json.dumps(content).encode()


class FakeChannels:
    """A loopback server of channels."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.by_name: dict[str, FakeChannel] = {}
        #: The paths that were asked for.
        self.asked: list[str] = []
        #: Those of them that were answered with what is there.
        self.served: list[str] = []

    def __getitem__(self, name: str) -> FakeChannel:
        return self.by_name.setdefault(name, FakeChannel(name, self.root))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    channels: ClassVar[FakeChannels]

    def do_GET(self) -> None:
        self.channels.asked.append(self.path)
        name, subdir, file_name = self.path.strip("/").split("/")[-3:]
        channel = self.channels.by_name.get(name)
        if channel is None or file_name != "repodata.json":
            return self._answer(404, b"")
        channel.gate.wait(30)
        if channel.status:
            return self._answer(channel.status, b"")
        self.channels.served.append(self.path)
        return self._answer(200, channel.repodata(subdir))

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, *_args: object) -> None:
        """Stay silent about clients that went away."""


@contextmanager
def fake_channels() -> Iterator[FakeChannels]:
    """Serve channels on a free port of the loopback interface."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        channels = FakeChannels(f"http://127.0.0.1:{server.server_port}")
        handler.channels = channels  # type: ignore[attr-defined]  # made a line above
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield channels
        for channel in channels.by_name.values():
            channel.gate.set()
        server.shutdown()
        thread.join()
