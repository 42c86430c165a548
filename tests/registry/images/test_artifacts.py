"""Artifacts of images of a tiny channel, asked for as engines do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.build.image import FLAVOURS, Flavour
from builder.keys import FORMS, blob_key
from builder.lock import from_yaml
from builder.oci.digest import Digest, digest_of
from builder.ports import Store
from registry.content.manifests import Manifest
from registry.errors import ReferrersUnavailable, StillBuilding
from registry.settings import Settings
from registry.storage.filesystem import FilesystemStore
from registry.web.services import Services
from registry.wiring.services import open_services
from tests.registry import pulling
from tests.registry.pulling import referrers
from tests.tiny_channel import write_tiny_channel

NAME = "env/tool"
WAIT_SECONDS = 60
KINDS = [
    "application/vnd.conda-lock.v1+yaml",
    "application/spdx+json",
    "application/vnd.cyclonedx+json",
    "application/vnd.in-toto+json",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tiny_channel(tmp_path / "channel")
    # Packages that fit every platform, so that there is an index.
    (tmp_path / "channel" / "linux-aarch64").mkdir(exist_ok=True)
    (tmp_path / "channel" / "linux-aarch64" / "repodata.json").write_text(
        json.dumps({"info": {"subdir": "linux-aarch64"}, "packages": {}, "packages.conda": {}})
    )
    return tmp_path


@asynccontextmanager
async def open_house(root: Path, store: str = "store") -> AsyncIterator[Services]:
    settings = Settings(
        store=str(root / store),
        channels={"main": f"file://{root / 'channel'}"},
        default_channels=["main"],
        platforms=["linux-64", "linux-aarch64"],
        workers=1,
    )
    async with open_services(settings) as services:
        yield services


async def pull(services: Services, flavour: Flavour = "oci-zstd") -> Manifest:
    return await pulling.pull(services, NAME, "bare", flavour)


async def artifacts(services: Services, digest: Digest) -> dict[str, Any]:
    """Return the manifest of each artifact, by type."""
    found = await referrers(services, NAME, digest)
    kinds = {}
    for descriptor in found:
        manifest = await services.manifests.get(descriptor["digest"])
        assert len(manifest.data) == descriptor["size"]
        content = json.loads(manifest.data)
        assert content["artifactType"] == descriptor["artifactType"]
        assert content.get("annotations") == descriptor["annotations"]
        kinds[content["artifactType"]] = content
    return kinds


async def content(services: Services, artifact: Any) -> bytes:
    (layer,) = artifact["layers"]
    data = b"".join([chunk async for chunk in services.blobs.stream(layer["digest"])])
    assert digest_of(data) == layer["digest"]
    assert len(data) == layer["size"]
    return data


def test_lock_sboms_and_provenance_refer_to_index_and_manifests_of_each_flavour(
    root: Path,
) -> None:
    async def scenario() -> None:
        async with open_house(root) as services:
            seen: set[str] = set()
            for flavour in FLAVOURS:
                index = await pull(services, flavour)
                children = [child["digest"] for child in json.loads(index.data)["manifests"]]
                assert len(children) == 2
                for subject in [index.digest, *children]:
                    found = await artifacts(services, subject)
                    assert list(found) == KINDS
                    for artifact in found.values():
                        assert artifact["subject"]["digest"] == subject
                        assert artifact["config"]["digest"] == digest_of(b"{}")
                        seen.add(artifact["subject"]["mediaType"])
            assert len(seen) == 4

    asyncio.run(scenario())


def test_an_artifact_says_what_its_type_promises(root: Path) -> None:
    async def scenario() -> None:
        async with open_house(root) as services:
            index = await pull(services)
            child = json.loads(index.data)["manifests"][1]["digest"]
            whole = await artifacts(services, index.digest)
            part = await artifacts(services, child)
            lock = from_yaml(await content(services, whole[KINDS[0]]))
            assert set(lock.platforms) == {"linux-64", "linux-aarch64"}
            assert json.loads(index.data)["annotations"]["io.pullforge.build.key"] == lock.key
            for kinds, platforms in ((whole, "linux-64+linux-aarch64"), (part, "linux-aarch64")):
                spdx = json.loads(await content(services, kinds[KINDS[1]]))
                assert spdx["documentNamespace"].endswith(f"/{lock.key}/{platforms}")
                cyclonedx = json.loads(await content(services, kinds[KINDS[2]]))
                assert cyclonedx["bomFormat"] == "CycloneDX"
            statement = json.loads(await content(services, part[KINDS[3]]))
            subjects = [f"sha256:{one['digest']['sha256']}" for one in statement["subject"]]
            assert subjects[0] == index.digest
            assert child in subjects

    asyncio.run(scenario())


def test_another_server_gives_the_same_artifacts(root: Path) -> None:
    async def scenario() -> None:
        answers = []
        for store in ("one", "other"):
            async with open_house(root, store) as services:
                index = await pull(services)
                answers.append(await referrers(services, NAME, index.digest))
        assert answers[0] == answers[1]
        assert len(answers[0]) == 4

    asyncio.run(scenario())


def test_artifacts_that_are_gone_from_the_store_are_made_again(root: Path) -> None:
    async def scenario() -> None:
        async with open_house(root) as services:
            index = await pull(services)
            found = await referrers(services, NAME, index.digest)
            artifact = json.loads((await services.manifests.get(found[0]["digest"])).data)
            lost = [
                artifact["layers"][0]["digest"],
                artifact["config"]["digest"],
                found[0]["digest"],
            ]
        store = store_at(root)
        for digest in lost:
            await store.delete(blob_key(digest))
        async for entry in store.entries(FORMS):
            await store.delete(entry.key)
        async with open_house(root) as services:
            for digest in lost:
                assert await pulling.built(services).restore(digest, timeout_seconds=WAIT_SECONDS)
            assert yaml.safe_load(await content(services, artifact))["version"] == 1

    asyncio.run(scenario())


def store_at(root: Path) -> Store:
    return FilesystemStore(root / "store")


def test_nothing_refers_to_layers_configs_artifacts_and_what_is_unknown(root: Path) -> None:
    async def scenario() -> None:
        async with open_house(root) as services:
            index = await pull(services)
            child = json.loads(index.data)["manifests"][0]["digest"]
            manifest = json.loads((await services.manifests.get(child)).data)
            found = await referrers(services, NAME, index.digest)
            for digest in (
                manifest["config"]["digest"],
                manifest["layers"][0]["digest"],
                found[0]["digest"],
                digest_of(b"unknown"),
            ):
                assert not await referrers(services, NAME, digest)
            assert not await referrers(services, "library/debian", index.digest)

    asyncio.run(scenario())


def test_an_image_whose_record_and_index_are_gone_is_built_again(root: Path) -> None:
    async def scenario() -> None:
        async with open_house(root) as services:
            index = await pull(services)
        store = store_at(root)
        await store.delete(blob_key(index.digest))
        async with open_house(root) as services:
            assert list(await artifacts(services, index.digest)) == KINDS
        async for entry in store.entries("images/"):
            await store.delete(entry.key)
        async with open_house(root) as services:
            assert list(await artifacts(services, index.digest)) == KINDS

    asyncio.run(scenario())


def test_what_cannot_be_made_now_is_said_to_be_unavailable(root: Path) -> None:
    async def scenario() -> None:
        async with open_house(root) as services:
            index = await pull(services)
        store = store_at(root)
        for prefix in ("contents/", "packages/"):
            async for entry in store.entries(prefix):
                await store.delete(entry.key)
        for package in (root / "channel").rglob("*.conda"):
            package.write_bytes(b"damaged")
        async with open_house(root) as services:
            with pytest.raises(ReferrersUnavailable, match="damaged"):
                await referrers(services, NAME, index.digest)

    asyncio.run(scenario())


def test_who_has_no_time_is_told_to_ask_again(root: Path) -> None:
    async def scenario() -> None:
        async with open_house(root) as services:
            index = await pull(services)
            with pytest.raises(StillBuilding):
                await referrers(services, NAME, index.digest, 0)
            assert list(await artifacts(services, index.digest)) == KINDS

    asyncio.run(scenario())
