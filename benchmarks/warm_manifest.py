"""``warm-manifest``: how many manifests a second, by tag, once the image was built.

wrk asks on kept connections. Each server has one half of the processors and wrk the other. nginx
sends the same bytes as a file: what C does. GET decides; HEAD, which docker asks first, is beside
it.
"""

import selectors
import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.docker_registry import DockerRegistry
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.images import DOCKER, SMALL, copy_image, get_manifest
from benchmarks.nginx import Nginx
from benchmarks.processes import halves, on_processors
from benchmarks.wrk import Wrk
from conformance.clients.images import ACCEPT

_CONNECTIONS: Final = 32
_TIMEOUT_SECONDS: Final = 30
_HEADERS: Final = (f"Accept: {ACCEPT}", f"User-Agent: {DOCKER}")


def measure(bench: Bench) -> Figure:
    """Return our requests a second, GET, as a multiple of docker-registry's."""
    servers, clients = halves()
    assert bench.channel.url  # which runs anywhere
    files = bench.directory("nginx")
    with ExitStack() as stack:
        with on_processors(servers):
            ours = stack.enter_context(bench.server())
            theirs = stack.enter_context(DockerRegistry(bench.directory("docker-registry")))
            nginx = stack.enter_context(Nginx(files))
        copy_image(ours, SMALL, theirs)
        (nginx.files / "manifest").write_bytes(get_manifest(ours, SMALL).data)
        repository, _, tag = SMALL.partition(":")
        path = f"/v2/{repository}/manifests/{tag}"
        urls = {
            "ours": ours.url + path,
            "docker-registry": theirs.url + path,
            "nginx": f"{nginx.url}/manifest",
        }
        seconds = 1 if bench.short else 4
        gets = {name: Wrk(url, seconds, _HEADERS, _CONNECTIONS) for name, url in urls.items()}
        heads = {name: partial(_head_rate, url, seconds) for name, url in urls.items()}
        runs = bench.runs(3)
        with on_processors(clients):
            got = medians(interleaved(runs, {name: wrk.rate for name, wrk in gets.items()}))
            headed = medians(interleaved(runs, heads))
    note = "; ".join(
        f"{name} GET {got[name]:,.0f}/s, p99 {gets[name].p99_ms:.1f} ms, HEAD {headed[name]:,.0f}/s"
        for name in urls
    )
    return Figure(got["ours"] / got["docker-registry"], runs, note)


def _head_rate(url: str, seconds: float) -> float:
    """Return the answers to HEAD in a second; wrk would wait for the bodies that they announce."""
    address = urlsplit(url)
    lines = [f"HEAD {address.path} HTTP/1.1", f"Host: {address.netloc}", *_HEADERS, "", ""]
    request = "\r\n".join(lines).encode()
    answers = 0
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(_CONNECTIONS):
            place = (address.hostname, address.port)
            connection = stack.enter_context(socket.create_connection(place, _TIMEOUT_SECONDS))
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(_TIMEOUT_SECONDS):
                assert isinstance(key.fileobj, socket.socket)
                answer = key.fileobj.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                assert answer.endswith(b"\r\n\r\n"), answer
                answers += 1
                key.fileobj.sendall(request)
    return answers / seconds
