"""Every client gets every kind of image."""

import json
from pathlib import Path

import pytest

from conformance.clients.engines import Client, Docker, Podman, Skopeo
from conformance.clients.images import (
    DATED,
    DOTTED,
    LARGE,
    SIMPLE,
    VERSIONED,
    fetch_manifest,
)
from conformance.clients.matrix import Engines, every
from conformance.clients.server import Server, StartServer


@pytest.fixture(scope="module")
def two_platforms(start_module_server: StartServer) -> Server:
    """Return a server that makes each image for two platforms."""
    return start_module_server(platforms=["linux-64", "linux-aarch64"])


@pytest.mark.parametrize("client", every(), indirect=True)
@pytest.mark.parametrize("name", [SIMPLE, VERSIONED, DOTTED, DATED, LARGE])
def test_client_pulls_the_image(client: Client, server: Server, name: str) -> None:
    """An image that is made while the first client waits, and stored for the others."""
    result = client.pull(server.reference(name))
    assert result.ok, result.output


@pytest.mark.parametrize("client", every(), indirect=True)
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_client_pulls_its_platform_of_an_index(
    client: Client, two_platforms: Server, architecture: str
) -> None:
    """With several platforms a name is an index, from which the client takes its own."""
    reference = two_platforms.reference(SIMPLE)
    result = client.pull(reference, architecture=architecture)
    assert result.ok, result.output
    client.remove(reference)


def test_index_lists_every_platform(two_platforms: Server) -> None:
    """What the clients choose from."""
    index = fetch_manifest(two_platforms, SIMPLE)
    assert index.media_type == "application/vnd.oci.image.index.v1+json"
    found = [m["platform"]["architecture"] for m in index.content["manifests"]]
    assert found == ["amd64", "arm64"]


@pytest.mark.engine("skopeo")
def test_arm_image_says_that_it_is_for_arm(engines: Engines, two_platforms: Server) -> None:
    """The config is that of the platform, not of the machine that made it."""
    skopeo = engines.get("skopeo")
    assert isinstance(skopeo, Skopeo)
    reference = two_platforms.reference(SIMPLE)
    assert skopeo.pull(reference, architecture="arm64").ok
    config = _config(skopeo.layout(reference))
    assert (config["os"], config["architecture"]) == ("linux", "arm64")


@pytest.mark.engine("docker")
@pytest.mark.engine("podman")
def test_docker_and_podman_get_the_same_image(engines: Engines, server: Server) -> None:
    """Old Docker takes gzip and podman zstd; the image ID is the same, since the tars are."""
    docker, podman = engines.get("docker"), engines.get("podman")
    assert isinstance(docker, Docker)
    assert isinstance(podman, Podman)
    reference = server.reference(SIMPLE)
    assert docker.pull(reference).ok
    assert podman.pull(reference).ok
    assert docker.image_id(reference) == podman.image_id(reference)


@pytest.mark.parametrize("client", every(), indirect=True)
def test_second_pull_solves_nothing(client: Client, server: Server) -> None:
    """What was made once is served from the store."""
    reference = server.reference(SIMPLE)
    assert client.pull(reference).ok
    before = _work(server)
    client.remove(reference)
    result = client.pull(reference)
    assert result.ok, result.output
    assert _work(server) == before


def test_dated_tag_takes_older_packages(server: Server) -> None:
    """The packages of a day are not those of today."""
    today = fetch_manifest(server, DATED.replace("2025-05-31-", ""))
    assert fetch_manifest(server, DATED).digest != today.digest


def _config(layout: Path) -> dict[str, object]:
    """Return the config of the only image of a layout."""
    blobs = layout / "blobs"
    document = json.loads((layout / "index.json").read_text(encoding="utf-8"))
    descriptor = document["manifests"][0]
    manifest = json.loads(_blob(blobs, descriptor["digest"]))
    config: dict[str, object] = json.loads(_blob(blobs, manifest["config"]["digest"]))
    return config


def _blob(blobs: Path, digest: str) -> bytes:
    return blobs.joinpath(*digest.split(":")).read_bytes()


def _work(server: Server) -> tuple[float, float]:
    return (
        server.metric("pullforge_solves_total"),
        server.metric("pullforge_layer_assemblies_total"),
    )
