"""A build that takes longer than a whole pull: whoever comes back gets it in the end."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from conformance.channel.server import ChannelServer
from conformance.clients.engines import Client
from conformance.clients.matrix import FACTORIES, Engines
from conformance.clients.server import StartServer

#: How long the build takes, and how long one request waits: as ten minutes are to 19 s.
SLOWNESS_SECONDS = 60
WAIT_SECONDS = 1.9
#: How many waits one pull has, measured; those that are not named wait for longer than the build.
WAITS = {"docker": 20, "crane": 14}


@dataclass(frozen=True, slots=True)
class Patience:
    """How a client got an image."""

    client: str
    #: How long each pull took that ended without the image, in seconds, and what it said.
    vain: list[tuple[float, str]]
    seconds: float


def pull_until_there(client: Client, reference: str) -> Patience:
    """Pull again and again, as kubelet does, and people."""
    started = time.monotonic()
    vain = []
    while not (result := client.pull(reference)).ok:
        assert time.monotonic() - started < 3 * SLOWNESS_SECONDS, result.output
        vain.append((result.seconds, result.words))
        time.sleep(1)
    return Patience(client.name, vain, time.monotonic() - started)


@pytest.mark.engine("docker")
@pytest.mark.engine("docker-29")
@pytest.mark.engine("podman")
@pytest.mark.engine("skopeo")
@pytest.mark.engine("containerd-1.6")
@pytest.mark.engine("containerd-2")
@pytest.mark.engine("crane")
def test_every_client_that_comes_back_gets_what_took_longer_than_it_waits(
    engines: Engines, start_server: StartServer, channel: ChannelServer
) -> None:
    """All at once; what they say meanwhile is that it is being built."""
    server = start_server(wait_seconds=WAIT_SECONDS)
    clients = [engines.get(name) for name in FACTORIES]
    reference = server.reference("env/zope.interface:py3.11")
    channel.slow("zope.interface-*", SLOWNESS_SECONDS)
    try:
        with ThreadPoolExecutor(len(clients)) as pool:
            found = list(pool.map(lambda client: pull_until_there(client, reference), clients))
    finally:
        channel.reset()
    for one in found:
        assert one.seconds >= SLOWNESS_SECONDS - 1, one
        assert bool(one.vain) == (one.client in WAITS), one
        for seconds, words in one.vain:
            assert seconds == pytest.approx(WAITS[one.client] * WAIT_SECONDS, rel=0.2)
            assert "is still being built" in words, words
    assert server.metric("pullforge_solves_total") == 1
