"""Base images from registries that behave as Docker Hub and ghcr.io do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from builder.build.image import FLAVOURS, EnvironmentLayers, image_config, image_manifest
from builder.errors import BaseImageError, BaseImageUnavailable
from builder.fetch.base_image import BaseImages
from builder.network.hosts import Hosts, guard
from builder.platforms import PLATFORMS
from conformance.channel import ChannelPaths
from conformance.lookalikes import DockerHub, Ghcr
from conformance.lookalikes.published import Compression, Family
from registry.storage.filesystem import FilesystemStore

pytestmark = pytest.mark.anyio

AMD64, ARM64 = PLATFORMS["linux-64"], PLATFORMS["linux-aarch64"]


@pytest.fixture
def anyio_backend() -> str:
    """The loop of the server."""
    return "asyncio"


@pytest.fixture
def hub(paths: ChannelPaths) -> Iterator[DockerHub]:
    """docker.io with Debian."""
    with DockerHub(paths.base) as hub:
        yield hub


@pytest.fixture
def ghcr(paths: ChannelPaths) -> Iterator[Ghcr]:
    """ghcr.io with an image of somebody."""
    with Ghcr(paths.base, "acme/base", "1") as ghcr:
        yield ghcr


@pytest.fixture
async def bases(tmp_path: Path, anyio_backend: str) -> AsyncIterator[BaseImages]:
    """What finds base images, with an empty store."""
    (tmp_path / "scratch").mkdir()
    # Docker Hub's three hosts are on this machine.
    hosts = Hosts(networks=["127.0.0.0/8"])
    async with guard(httpx.AsyncClient(), hosts) as http:
        yield BaseImages(FilesystemStore(tmp_path / "store"), http, tmp_path / "scratch")


async def test_an_image_between_attestations_is_fetched_with_blobs_from_another_host(
    hub: DockerHub, bases: BaseImages
) -> None:
    """With a token from a second host, which the third never sees."""
    image = await bases.fetch(await bases.resolve(hub.reference), AMD64)
    assert image.config.architecture == "amd64"
    assert (await bases.fetch(await bases.resolve(hub.reference), ARM64)).config.variant == "v8"
    assert len(hub.asked(hub.BLOB_HOST)) == 4
    assert {seen.status for seen in hub.seen if seen.host == hub.BLOB_HOST} == {200}


async def test_a_token_is_asked_for_once_and_again_when_it_has_expired(
    hub: DockerHub, bases: BaseImages
) -> None:
    """A server runs longer than the five minutes of a token."""
    base = await bases.resolve(hub.reference)
    await bases.fetch(base, AMD64)
    scope = "repository%3Alibrary%2Fdebian%3Apull"
    asked = f"GET /token?service=registry.docker.io&scope={scope}"
    assert hub.asked(hub.REALM_HOST) == [asked]
    hub.forget_tokens()
    await bases.fetch(base, ARM64)
    assert hub.asked(hub.REALM_HOST)[:2] == [asked, asked]


async def test_asking_what_a_tag_means_is_no_pull(hub: DockerHub, bases: BaseImages) -> None:
    """Docker Hub counts each GET of a manifest, and each new environment asks."""
    for _ in range(3):
        await bases.resolve(hub.reference)
    assert not [seen for seen in hub.seen if "/manifests/" in seen.path and seen.method == "GET"]


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_limit_of_pulls_is_told_with_what_helps(
    hub: DockerHub, bases: BaseImages, form: str
) -> None:
    """Whatever the body is."""
    hub.limit(form="json" if form == "json" else "text", retry_after=3600)
    base = await bases.resolve(hub.reference)
    with pytest.raises(BaseImageUnavailable) as error:
        await bases.fetch(base, AMD64)
    assert str(error.value).endswith(
        f" cannot be read: {hub.reference.partition('/')[0]} lets this server pull no more for now"
        " (100 in 6 hours); try again in 60 minutes"
    )


async def test_a_short_limit_is_waited_for(hub: DockerHub, bases: BaseImages) -> None:
    """As the registry says how long it takes."""
    hub.limit(2, retry_after=0)
    image = await bases.fetch(await bases.resolve(hub.reference), AMD64)
    assert image.config.architecture == "amd64"


async def test_while_a_registry_limits_all_a_tag_means_what_it_last_did(
    hub: DockerHub, bases: BaseImages
) -> None:
    """What is in the store needs no pull."""
    base = await bases.resolve(hub.reference)
    await bases.fetch(base, AMD64)
    hub.limit(methods=("GET", "HEAD"))
    assert await bases.resolve(hub.reference) == base
    assert (await bases.fetch(base, AMD64)).config.architecture == "amd64"
    with pytest.raises(BaseImageUnavailable):
        await bases.resolve(hub.reference.rpartition(":")[0])


async def test_a_name_that_is_not_there_or_private_is_told_as_such(
    hub: DockerHub, ghcr: Ghcr, bases: BaseImages
) -> None:
    """Neither registry says which: Docker Hub refuses its own token, ghcr.io gives none."""
    for registry in (hub, ghcr):
        host = registry.reference.partition("/")[0]
        with pytest.raises(BaseImageError, match="is not there, or not for everyone") as error:
            await bases.resolve(f"{host}/acme/secret:1")
        assert f"{host}/acme/secret:1" in str(error.value)
        with pytest.raises(BaseImageError, match="404"):
            await bases.resolve(registry.reference.rpartition(":")[0] + ":no-such-tag")


async def test_ghcr_gives_tokens_and_blobs_in_its_own_way(ghcr: Ghcr, bases: BaseImages) -> None:
    """A token without `access_token` or an end, from the registry's own host."""
    image = await bases.fetch(await bases.resolve(ghcr.reference), AMD64)
    assert image.config.architecture == "amd64"
    assert {seen.status for seen in ghcr.seen if seen.host == ghcr.BLOB_HOST} == {200}


@pytest.mark.parametrize("family", ["oci", "docker"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_an_image_of_either_family_and_compression_can_be_a_base(
    paths: ChannelPaths, bases: BaseImages, family: Family, compression: Compression
) -> None:
    """With the layer's own compression, under the type of who asks."""
    with DockerHub(paths.base, family=family, compression=compression) as hub:
        base = await bases.fetch(await bases.resolve(hub.reference), AMD64)
    nothing = EnvironmentLayers(AMD64, (), (), {}, (), 0)
    config = image_config(nothing, base)
    found = {
        flavour: json.loads(image_manifest(nothing, base, config, "k" * 32, flavour).data)
        for flavour in FLAVOURS
    }
    types = {flavour: manifest["layers"][0]["mediaType"] for flavour, manifest in found.items()}
    oci = f"application/vnd.oci.image.layer.v1.tar+{compression}"
    docker = f"application/vnd.docker.image.rootfs.diff.tar.{compression}"
    assert types == {"oci-zstd": oci, "oci-gzip": oci, "docker-gzip": docker}
