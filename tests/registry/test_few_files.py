"""A real server that may open no more files: it says so, blames nobody else, and goes on later."""

import http.client
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.oci.digest import digest_of
from conformance.ports import free_port
from tests.registry.accounts import HASH, write_policy
from tests.registry.web.api.site import ADA, Site, wish

BUILDS = "/api/v1/builds"
LAYER = b"a layer"


@dataclass
class Serving:
    """A server in a process of its own, and a connection that was open before files ran out."""

    process: "subprocess.Popen[bytes]"
    connection: http.client.HTTPConnection
    log: Path

    def ask(self, method: str, url: str, body: bytes = b"") -> tuple[int, dict[str, str], Any]:
        self.connection.request(method, url, body, {"prefer": "wait=20", "authorization": ADA})
        reply = self.connection.getresponse()
        data = reply.read()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        is_json = "json" in headers.get("content-type", "") and data
        return reply.status, headers, json.loads(data) if is_json else data

    @contextmanager
    def no_more_files(self) -> Iterator[None]:
        before = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        taken = {int(path.name) for path in Path(f"/proc/{self.process.pid}/fd").iterdir()}
        free = next(number for number in range(len(taken) + 1) if number not in taken)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (free, before[1]))
        try:
            yield
        finally:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, before)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    site = Site.make(tmp_path)
    rights = 'rights = ["**:*"]'
    write_policy(tmp_path / "auth.toml", "[users.ada]", f"hash = '{HASH}'", rights)
    port = free_port()
    settings = {
        "STORE": str(site.store),
        "CHANNELS": json.dumps({"main": f"file://{site.channel}"}),
        "DEFAULT_CHANNELS": '["main"]',
        "BASE": f"oci:{tmp_path / 'base'}",
        "WORKERS": "1",
        "SANDBOX": "none",
        "AUTH_FILE": str(tmp_path / "auth.toml"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "REPODATA_TTL_SECONDS": "0.000001",
    }
    environment = {**os.environ, **{f"PULLFORGE_{name}": text for name, text in settings.items()}}
    log = tmp_path / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "registry", "serve"], env=environment, stdout=out, stderr=out
        ) as process,
    ):
        try:
            with closing(_connected(port, process)) as connection:
                yield Serving(process, connection, log)
        finally:
            process.terminate()


def _connected(port: int, process: "subprocess.Popen[bytes]") -> http.client.HTTPConnection:
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().read():
                return connection
        except OSError:
            connection.close()
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def test_a_server_without_files_says_so_at_every_door(serving: Serving) -> None:
    status, _, made = serving.ask("POST", BUILDS, wish("tool"))
    assert status in {200, 201, 202}, made
    asked = [
        ("POST", BUILDS, wish("library")),
        ("GET", f"{BUILDS}/{'0' * 32}", b""),
        ("GET", "/v2/env/library/manifests/latest", b""),
        ("GET", f"/v2/team/app/blobs/{digest_of(LAYER)}", b""),
        ("GET", "/v2/_catalog", b""),
        ("POST", "/v2/team/app/blobs/uploads/", b""),
        ("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(LAYER)}", LAYER),
    ]
    with serving.no_more_files():
        for method, url, body in asked:
            status, headers, answer = serving.ask(method, url, body)
            # Container engines show no text of a 5xx for what would have to be made.
            assert status == (404 if "/manifests/" in url else 503), (url, answer)
            assert int(headers["retry-after"]) > 0
            error = answer["errors"][0] if "errors" in answer else answer["error"]
            assert error["message"].startswith("this server has as many files"), (url, error)
        assert serving.ask("GET", "/readyz")[0] == 503
        assert serving.ask("GET", "/healthz")[0] == 200
    assert [serving.ask(*one)[0] for one in asked] == [201, 404, 200, 404, 200, 202, 201]
    assert serving.ask("GET", "/readyz")[0] == 200
    lines = serving.log.read_text()
    assert "Traceback" not in lines
    assert 1 <= lines.count("Too many open files") <= 4
