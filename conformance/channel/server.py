"""A channel or a simple index over HTTP, as a CDN serves it, with switches that make it misbehave.

    POST   /_control   {"match": "pandas-*.conda", "delay_seconds": 100}     add a rule
    DELETE /_control                                                         forget all rules
    GET    /_requests  {"/linux-64/repodata.json.zst": 2, ...}               what was asked for

A rule is `match` (a glob over the path without its leading slash, or over the file name alone) and
any of `delay_seconds` (before the headers), `status` (answer this instead), `corrupt` (one byte is
changed, the length is not) and `count` (how many requests it is for; all when left out). The first
rule that matches is the one that counts.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

_START_SECONDS = 10.0

#: A folder that has such a file is a page of a simple index (PEP 691), answered with the file.
_PAGE = "index.json"
_PAGE_TYPE = "application/vnd.pypi.simple.v1+json"


@dataclass(slots=True)
class Rule:
    """How requests that match are treated."""

    match: str
    delay_seconds: float = 0.0
    status: int | None = None
    corrupt: bool = False
    #: How many more requests it is for; `None` for all.
    count: int | None = None

    def applies(self, path: str) -> bool:
        """Whether the rule is for this path and not used up."""
        names = (path, PurePosixPath(path).name)
        return self.count != 0 and any(fnmatchcase(name, self.match) for name in names)


class Switches:
    """Rules and request counts; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._requests: Counter[str] = Counter()

    def add(self, rule: Rule) -> None:
        """Apply the rule to requests from now on."""
        with self._lock:
            self._rules.append(rule)

    def reset(self) -> None:
        """Forget rules and counts; requests that are being delayed are not hastened."""
        with self._lock:
            self._rules.clear()
            self._requests.clear()

    def take(self, path: str) -> Rule | None:
        """Count the request; return the rule for it, used up by one."""
        with self._lock:
            self._requests[f"/{path}"] += 1
            rule = next((rule for rule in self._rules if rule.applies(path)), None)
            if rule is not None and rule.count is not None:
                rule.count -= 1
            return rule

    def requests(self) -> dict[str, int]:
        """Path → number of requests since the last reset, sorted."""
        with self._lock:
            return dict(sorted(self._requests.items()))


class _File(FileResponse):
    # The default of 64 KiB costs a thread switch each time: four times slower.
    chunk_size = 1 << 20


def channel_app(directory: Path, switches: Switches) -> Starlette:
    """The application: files below `directory`, with ETag, 304 and ranges, and the switches."""
    root = directory.resolve()

    async def get_file(request: Request) -> Response:
        path: str = request.path_params["path"]
        rule = switches.take(path)
        if rule is not None:
            await asyncio.sleep(rule.delay_seconds)
            if rule.status is not None:
                return PlainTextResponse(f"told to answer {rule.status}\n", rule.status)
        file = (root / path).resolve()
        if path.endswith("/"):
            file /= _PAGE
        if not file.is_relative_to(root) or not file.is_file():
            return PlainTextResponse("not found\n", 404)
        if rule is not None and rule.corrupt:
            return Response(_corrupted(file.read_bytes()), media_type="application/octet-stream")
        media_type = _PAGE_TYPE if file.name == _PAGE else "application/octet-stream"
        response = _File(file, stat_result=file.stat(), media_type=media_type)
        etag = response.headers["etag"]
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"etag": etag})
        return response

    async def control(request: Request) -> Response:
        if request.method == "DELETE":
            switches.reset()
            return Response(status_code=204)
        rule = Rule(**await request.json())
        switches.add(rule)
        return JSONResponse(asdict(rule), 201)

    async def get_requests(_: Request) -> Response:
        return JSONResponse(switches.requests())

    return Starlette(
        routes=[
            Route("/_control", control, methods=["POST", "DELETE"]),
            Route("/_requests", get_requests),
            Route("/{path:path}", get_file),
        ]
    )


class ChannelServer:
    """Serves a channel from a thread on a free loopback port, between `with` and its end.

    Args:
        directory: The channel, or a simple index.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._switches = Switches()
        self._port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the channel, without a slash at its end; the same after `stop` and `start`."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Serve; returns when connections are accepted."""
        listener = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        self._port = listener.getsockname()[1]
        app = channel_app(self._directory, self._switches)
        self._server = server = uvicorn.Server(_config(app))
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="channel server", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the channel server did not start")
            time.sleep(0.001)

    def stop(self) -> None:
        """Close all connections and refuse new ones; may be repeated, and followed by `start`."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._server = self._thread = None

    def slow(self, match: str, seconds: float, count: int | None = None) -> None:
        """Wait before answering requests that match."""
        self._switches.add(Rule(match, delay_seconds=seconds, count=count))

    def fail(self, match: str, status: int = 503, count: int | None = None) -> None:
        """Answer requests that match with an error."""
        self._switches.add(Rule(match, status=status, count=count))

    def corrupt(self, match: str, count: int | None = None) -> None:
        """Change a byte of what matches."""
        self._switches.add(Rule(match, corrupt=True, count=count))

    def reset(self) -> None:
        """Behave again, and forget what was asked for."""
        self._switches.reset()

    def requests(self) -> dict[str, int]:
        """Path with its leading slash → number of requests since the last reset."""
        return self._switches.requests()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def serve(directory: Path, host: str, port: int) -> None:
    """Serve the channel until interrupted."""
    print(f"serving {directory} at http://{host}:{port}", flush=True)
    app = channel_app(directory, Switches())
    uvicorn.Server(_config(app, host, port)).run()


def _config(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        backlog=1024,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=60,
    )


def _corrupted(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :] if data else b"!"
