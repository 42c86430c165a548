"""Many clients at once cost as much work as one; and servers agree on what they make."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.clients.images import DOTTED, HEADERS, SIMPLE, VERSIONED, fetch_manifest
from conformance.clients.matrix import CONTAINERD_2, Engines
from conformance.clients.server import Server, StartServer

CLIENTS = 50


@pytest.mark.engine("podman")
@pytest.mark.engine("containerd-2")
def test_fifty_clients_cost_one_solve_and_one_assembly_of_each_layer(
    engines: Engines, start_server: StartServer, paths: ChannelPaths
) -> None:
    """Two of them are engines that go on to pull all blobs."""
    server = start_server()
    pullers = [engines.get("podman"), engines.get(CONTAINERD_2)]
    with ThreadPoolExecutor(len(pullers)) as pool:
        pulls = [pool.submit(c.pull, server.reference(SIMPLE)) for c in pullers]
        answers = asyncio.run(_get_at_once(server, SIMPLE, CLIENTS - len(pullers)))
        results = [pull.result() for pull in pulls]
    assert [a.status_code for a in answers] == [200] * len(answers)
    assert len({a.content for a in answers}) == 1
    for result in results:
        assert result.ok, result.output
    layers = fetch_manifest(server, SIMPLE).content["layers"]
    assert server.metric("pullforge_solves_total") == 1
    assert server.metric("pullforge_layer_assemblies_total") == len(layers) - base_layers(
        paths.base
    )


@pytest.mark.parametrize("name", [SIMPLE, VERSIONED, DOTTED])
def test_servers_that_share_nothing_make_the_same_image(
    start_server: StartServer, name: str
) -> None:
    """The image is a function of its lock, and the lock of name and channel."""
    one = start_server(workers=1)
    other = start_server(workers=3)
    assert fetch_manifest(one, name) == fetch_manifest(other, name)


async def _get_at_once(server: Server, name: str, count: int) -> list[httpx.Response]:
    repository, _, tag = name.partition(":")
    url = f"{server.url}/v2/{repository}/manifests/{tag}"
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(
        headers=HEADERS, follow_redirects=True, timeout=300, limits=limits
    ) as http:
        return list(await asyncio.gather(*(http.get(url) for _ in range(count))))


def base_layers(layout: Path) -> int:
    """Return how many layers the first image of a layout has."""
    blob = layout / "index.json"
    while "manifests" in (document := json.loads(blob.read_text(encoding="utf-8"))):
        blob = layout.joinpath("blobs", *document["manifests"][0]["digest"].split(":"))
    return len(document["layers"])
