"""Streams of events on a real server, over the network."""

import time
from pathlib import Path

import httpx

from tests.registry.accounts import PASSWORD
from tests.registry.cli.servers import serving
from tests.registry.web.api.catalog import make_site

STREAM = {"accept": "text/event-stream"}


def test_a_server_stops_at_once_and_tells_the_end_to_those_who_follow(tmp_path: Path) -> None:
    """Streams say something every 15 seconds: who waits for that, stops so late."""
    auth = ("ada", PASSWORD)
    with httpx.Client(auth=auth, timeout=60) as stays, httpx.Client(auth=auth) as leaves:
        with serving(make_site(tmp_path).configured()) as served:
            url = f"http://{served.host}/api/v1"
            assert stays.post(f"{url}/namespaces", json={"name": "ada"}).status_code == 201
            with leaves.stream("GET", f"{url}/events", headers=STREAM) as reply:
                assert next(reply.iter_bytes()).startswith(b": following")
            following = stays.send(
                stays.build_request("GET", f"{url}/events", headers=STREAM), stream=True
            )
            pieces = following.iter_bytes()
            assert next(pieces).startswith(b": following")
            began = time.monotonic()
        assert time.monotonic() - began < 10
        assert list(pieces) == []
