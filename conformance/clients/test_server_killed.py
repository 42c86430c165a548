"""A server that is killed at any moment loses nothing that it answered, and leaves nothing torn."""

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server

NAME = "env/click.requests.numpy"
KILLS = 15
#: A build of the name takes about so long; moments beyond it are of an idle server.
LONGEST_SECONDS = 3.0
ACCEPT = {"User-Agent": "containers/5.30.0"}


def manifest(server: Server) -> httpx.Response:
    """Ask for the image, following redirects as engines do."""
    return httpx.get(
        f"{server.url}/v2/{NAME}/manifests/latest",
        headers=ACCEPT,
        follow_redirects=True,
        timeout=120,
    )


def torn(store: Path) -> Iterator[Path]:
    """Yield blobs and package archives that are not what their names say."""
    for kind in ("blobs", "packages"):
        for path in (store / kind).rglob("*"):
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
                yield path


def kill_after(server: Server, seconds: float) -> None:
    """Ask for the image and kill the server so long afterwards, asking or building."""

    def ask() -> None:
        with suppress(httpx.HTTPError):  # the server is gone
            while True:
                manifest(server)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(seconds)
    server.kill()
    asking.join(60)


def test_a_server_killed_again_and_again_while_it_builds_leaves_nothing_torn(
    tmp_path: Path, paths: ChannelPaths, channel: ChannelServer
) -> None:
    """Every fifth time the server starts from nothing, and before that is let finish."""
    with Server(tmp_path / "undisturbed", channel.url, paths.base) as server:
        expected = manifest(server).headers["docker-content-digest"]
    moments = random.Random(2026)
    store = tmp_path / "store"
    for round_number in range(KILLS):
        if round_number % 5 == 0:  # from nothing again, or every kill would hit an idle server
            store = tmp_path / f"store-{round_number}"
        with Server(store, channel.url, paths.base) as server:
            kill_after(server, moments.uniform(0, LONGEST_SECONDS))
        assert list(torn(store)) == []
        if round_number % 5 == 4:
            with Server(store, channel.url, paths.base) as server:
                assert manifest(server).headers["docker-content-digest"] == expected
