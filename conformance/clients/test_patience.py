"""A build that takes longer than any client waits for an answer."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance.channel.server import ChannelServer
from conformance.clients.engines import PullResult
from conformance.clients.matrix import FACTORIES, Engines
from conformance.clients.server import Server

#: Longer than containerd, Docker and most proxies wait for headers.
SLOWNESS_SECONDS = 100


@pytest.mark.engine("docker")
@pytest.mark.engine("docker-29")
@pytest.mark.engine("podman")
@pytest.mark.engine("skopeo")
@pytest.mark.engine("containerd-1.6")
@pytest.mark.engine("containerd-2")
@pytest.mark.engine("crane")
def test_every_client_waits_for_a_build_of_a_hundred_seconds(
    engines: Engines, server: Server, channel: ChannelServer
) -> None:
    """All clients at once, so that the time is spent only once."""
    clients = [engines.get(name) for name in FACTORIES]
    reference = server.reference("env/zope.interface:py3.11")
    channel.slow("zope.interface-*", SLOWNESS_SECONDS)
    try:
        with ThreadPoolExecutor(len(clients)) as pool:
            results: list[PullResult] = list(pool.map(lambda c: c.pull(reference), clients))
    finally:
        channel.reset()
    for client, result in zip(clients, results, strict=True):
        assert result.ok, f"{client.name} after {result.seconds:.0f} s: {result.output}"
        assert result.seconds >= SLOWNESS_SECONDS, client.name
    assert server.metric("pullforge_solves_total") == 1
