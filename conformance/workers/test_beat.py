"""What is due is done by workers, in beat's time, and nobody has to ask."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from builder.oci.models import OCI_INDEX, OCI_MANIFEST
from conformance.channel import ChannelPaths
from conformance.clients.server import Server
from conformance.workers.beat import Beat
from conformance.workers.brokers import RedisServer
from conformance.workers.worker import Worker
from registry.storage.layout import tag_key
from tests.tiny_channel import IN_2025, publish, tool, write_tiny_channel

#: Long enough for any machine.
PATIENCE_SECONDS = 180
TTL_SECONDS = 20


def test_what_was_pulled_is_made_new_and_what_is_listed_is_made_at_all(
    tmp_path: Path, paths: ChannelPaths
) -> None:
    """The server is asked once before, and not again until the worker has made it new."""
    channel = tmp_path / "channel"
    write_tiny_channel(channel)
    with RedisServer() as redis:
        settings = {
            **redis.settings,
            "latest_ttl_seconds": TTL_SECONDS,
            "repodata_ttl_seconds": 1,
            "prewarm": ["env/library:bare"],
            "workers": 1,
        }
        store = tmp_path / "store"
        with (
            Server(store, f"file://{channel}", paths.base, settings) as server,
            Worker(tmp_path / "worker", server.settings) as worker,
            Beat(tmp_path, server.settings),
        ):
            first = pull(server, "env/tool", "bare")
            asyncio.run(publish(channel, tool("3.0", IN_2025)))
            entry = store / tag_key("env/tool", "bare")
            wait_until(lambda: json.loads(entry.read_text())["key"] != first)
            wait_until((store / tag_key("env/library", "bare")).exists)
            assert worker.metric("pullforge_tasks_total") > 0
            # The server knows that its answer is old, and looks whether there is a new one.
            wait_until(lambda: pull(server, "env/tool", "bare") != first)


def pull(server: Server, repository: str, tag: str) -> str:
    """Return the key of the build that a client gets."""
    reply = httpx.get(
        f"{server.url}/v2/{repository}/manifests/{tag}",
        headers={"accept": f"{OCI_INDEX}, {OCI_MANIFEST}"},
        follow_redirects=True,
        timeout=60,
    )
    return reply.raise_for_status().headers["pullforge-build"]


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when something holds; what is waited for happens by itself."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
