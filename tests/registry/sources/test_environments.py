"""Named environments on a real service: what their tags lead to is what their builds are."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.errors import MalformedTag
from builder.keys import blob_key
from builder.oci.digest import Digest, digest_of
from builder.oci.models import ImageConfig, parse
from registry.content.manifests import Manifest
from registry.content.names import parse_repository
from registry.errors import EnvironmentRepository, ManifestUnknown, NameUnknown
from registry.sources.directory import Directory, Pointer, dump_pointer
from registry.sources.environments import EnvironmentSource, StoredPointers
from registry.sources.source import Source
from registry.storage.layout import environment_key
from registry.web.services import Services
from registry.wiring.services import open_services
from tests.registry.pulling import built, pull, reference, referrers, tags
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

NAME = "analytics/forecast"
OTHER = "private/secret"
DAY_SECONDS = 86_400


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[Services]:
    async with open_services(site.configured(), now=site.clock) as services:
        yield services


def directory_of(services: Services) -> Directory:
    assert services.catalog is not None
    return services.catalog.directory


async def key_of(services: Services, name: str, tag: str = "latest") -> str:
    """Return the key of a build, made now if it has to be."""
    key = (await pull(services, name, tag)).build
    assert key is not None
    return key


def know(services: Services, name: str, *keys: str, active: str | None = None) -> Pointer:
    """Have an environment with versions of these keys, the last one active."""
    namespace, _, environment = name.partition("/")
    start = 1_000 * DAY_SECONDS
    pointer = Pointer(
        namespace,
        environment,
        active or keys[-1],
        dict(enumerate(keys, 1)),
        tuple((start + number * DAY_SECONDS, key) for number, key in enumerate(keys)),
        True,
    )
    directory_of(services).put(pointer)
    return pointer


def source_of(services: Services, name: str = NAME) -> Source:
    source = services.sources.of(name)
    assert isinstance(source, EnvironmentSource)
    return source


def content(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest.data)
    return found


def layers(manifest: Manifest) -> list[str]:
    return [layer["digest"] for layer in content(manifest)["layers"]]


def config_of(site: Site, manifest: Manifest) -> ImageConfig:
    key = blob_key(Digest(content(manifest)["config"]["digest"]))
    return parse(ImageConfig, (site.store / key).read_bytes())


async def test_each_tag_is_what_its_build_is(site: Site) -> None:
    async with opened(site) as services:
        one, two = await key_of(services, "env/tool"), await key_of(services, "env/library")
        know(services, NAME, one, two)
        for tag, key in {
            "latest": two,
            "v1": one,
            "v2": two,
            one: one,
            "1972-09-27": one,
            "1972-09-28": two,
            "2020-01-01": two,
        }.items():
            expected = await pull(services, f"build/{key}", "latest")
            answered = await pull(services, NAME, tag)
            assert answered == expected, tag
            assert answered.build == key
        assert await tags(services, NAME) == sorted(
            [one, two, "latest", "v1", "v2", "1972-09-27", "1972-09-28"]
        )


async def test_what_was_activated_is_answered_at_once(site: Site) -> None:
    async with opened(site) as services:
        one, two = await key_of(services, "env/tool"), await key_of(services, "env/library")
        know(services, NAME, one, two)
        asked = reference(NAME, "latest")
        await pull(services, NAME, "v1")
        assert (await pull(services, NAME, "latest")).build == two
        warm = source_of(services).cached(asked, index=True)
        assert warm is not None
        assert warm.build == two
        know(services, NAME, one, two, active=one)
        warm = source_of(services).cached(asked, index=True)
        assert warm is not None
        assert warm.build == one
        assert (await pull(services, NAME, "latest")).build == one


async def test_a_variant_is_a_lock_of_its_own_that_is_the_same_every_time(site: Site) -> None:
    async with opened(site) as services:
        key = await key_of(services, "env/tool")
        know(services, NAME, key)
        whole = await pull(services, NAME, "v1")
        bare = await pull(services, NAME, "v1-bare")
        assert bare == await pull(services, "env/tool", "bare")
        assert bare.build != key
        assert len(layers(bare)) < len(layers(whole))
        other = await pull(services, NAME, "latest-user1000-bare")
        assert other == await pull(services, NAME, "bare-user1000")
        assert config_of(site, other).config.User == "1000:1000"
        assert layers(other) == layers(bare)
        assert (site.store / f"locks/{other.build}.yml").is_file()
        assert await tags(services, f"build/{key}") == ["bare", "bare-user1000", "latest"]
    shutil.rmtree(site.store / "images")
    shutil.rmtree(site.store / "blobs")
    (site.store / f"locks/{other.build}.yml").unlink()
    async with opened(site) as services:
        know(services, NAME, key)
        assert await pull(services, NAME, "bare-user1000") == other


async def test_a_variant_that_changes_nothing_is_the_build_itself(site: Site) -> None:
    async with opened(site) as services:
        key = await key_of(services, "env/tool", "bare")
        know(services, NAME, key)
        assert (await pull(services, NAME, "bare")).build == key
        assert await tags(services, f"build/{key}") == ["latest"]


async def test_what_makes_no_sense_is_refused(site: Site) -> None:
    async with opened(site) as services:
        key = await key_of(services, "env/tool")
        know(services, NAME, key)
        directory_of(services).put(Pointer("analytics", "new", None, {}, (), True))
        with pytest.raises(MalformedTag, match="would need other packages"):
            await pull(services, NAME, "v1-py3.12")
        with pytest.raises(ManifestUnknown, match="has no version 9"):
            await pull(services, NAME, "v9")
        with pytest.raises(ManifestUnknown, match="no version of 'analytics/new' is active yet"):
            await pull(services, "analytics/new", "latest")
        assert await tags(services, "analytics/new") == []
        gone = source_of(services)
        directory_of(services).remove("analytics", "forecast")
        assert gone.cached(reference(NAME, "latest"), index=True) is None
        with pytest.raises(NameUnknown):
            await gone.resolve(reference(NAME, "latest"), index=True, timeout_seconds=1)
        with pytest.raises(NameUnknown):
            await pull(services, NAME, "latest")


async def test_digests_are_read_where_a_version_has_them_and_nowhere_else(site: Site) -> None:
    """Whatever build had them first: layers are shared."""
    async with opened(site) as services:
        mine, other = await key_of(services, "env/library"), await key_of(services, "env/tool")
        know(services, NAME, mine)
        know(services, OTHER, other)
        for name, key, theirs in ((NAME, mine, other), (OTHER, other, mine)):
            repository = parse_repository(name)
            source = source_of(services, name)
            own = await pull(services, f"build/{key}", "latest")
            foreign = await pull(services, f"build/{theirs}", "latest")
            for digest in (own.digest, content(own)["config"]["digest"], *layers(own)):
                assert await source.has_blob(repository, Digest(digest)), digest
            assert await source.manifest(repository, own.digest) == own
            assert source.cached_manifest(repository, own.digest) == own
            assert not await source.has_manifest(repository, foreign.digest)
            assert source.cached_manifest(repository, foreign.digest) is None
            with pytest.raises(ManifestUnknown, match="no version of"):
                await source.manifest(repository, foreign.digest)
            assert await referrers(services, name, foreign.digest) == []
            for digest in set(layers(foreign)) - set(layers(own)):
                assert not await source.has_blob(repository, Digest(digest))
            assert not await source.has_blob(repository, digest_of(b"nothing"))


async def test_what_another_build_had_first_is_known_by_a_server_that_pulled_nothing(
    site: Site,
) -> None:
    async with opened(site) as services:
        await pull(services, "env/tool", "bare")  # all layers are this one's first
        key = await key_of(services, "env/tool")
        know(services, NAME, key)
        mine = await pull(services, NAME, "v1")
        variants = [await pull(services, NAME, tag, "oci-gzip") for tag in ("bare", "user7")]
    async with opened(site) as services:
        know(services, NAME, key)
        source, repository = source_of(services), parse_repository(NAME)
        for manifest in (mine, *variants):
            for digest in (
                manifest.digest,
                content(manifest)["config"]["digest"],
                *layers(manifest),
            ):
                assert await source.has_blob(repository, Digest(digest)), digest


async def test_the_artifacts_of_an_image_are_there_too(site: Site) -> None:
    async with opened(site) as services:
        know(services, NAME, await key_of(services, "env/tool"))
        for tag in ("v1", "v1-bare"):
            image = await pull(services, NAME, tag)
            found = await referrers(services, NAME, image.digest)
            assert len(found) == 4
            source, repository = source_of(services), parse_repository(NAME)
            for descriptor in found:
                manifest = await source.manifest(repository, Digest(descriptor["digest"]))
                for part in (content(manifest)["config"]["digest"], *layers(manifest)):
                    assert await source.has_blob(repository, Digest(part))


async def test_what_is_gone_from_the_store_is_made_again(site: Site) -> None:
    async with opened(site) as services:
        key = await key_of(services, "env/tool")
        know(services, NAME, key)
        image = await pull(services, NAME, "v1")
    shutil.rmtree(site.store / "blobs")
    async with opened(site) as services:
        know(services, NAME, key)
        source, repository = source_of(services), parse_repository(NAME)
        assert await source.has_manifest(repository, image.digest)
        assert await source.restore(image.digest, timeout_seconds=60)
        assert await source.manifest(repository, image.digest) == image


async def test_nobody_pushes_to_an_environment(site: Site) -> None:
    async with opened(site) as services:
        know(services, NAME, "0" * 32)
        assert not source_of(services).is_writable
        refusal = services.sources.refusal(NAME)
        assert isinstance(refusal, EnvironmentRepository)
        assert "'pullforge env update analytics/forecast' changes" in refusal.message
        assert services.sources.of("analytics/other").is_writable
        assert not isinstance(services.sources.refusal("env/numpy"), EnvironmentRepository)


async def test_a_server_without_its_database_reads_the_store_with_each_request(site: Site) -> None:
    async with opened(site) as services:
        key, other = await key_of(services, "env/tool"), await key_of(services, "env/library")
        pointer = know(services, NAME, key)
    followed = False
    async with opened(site) as services:
        store = services.repositories._store
        directory = Directory()
        learnt: list[str] = []

        def learn(path: str, found: Pointer | None) -> None:
            learnt.append(path)
            if found is None:
                directory.remove(*path.split("/", 1))
            else:
                directory.put(found)

        stored = StoredPointers(
            store, lambda: followed, learn, directory.is_namespace, directory.put_namespace
        )
        know(services, NAME, key)
        source = EnvironmentSource(
            directory,
            services.sources.of("build/x"),
            source_of(services)._holdings,  # type: ignore[attr-defined]  # of the same service
            built(services)._blocked,
            site.clock,
            is_followed=lambda: followed,
        )

        async def key_at(tag: str) -> str | None:
            await stored.look(NAME)
            asked = reference(NAME, tag)
            found = await source.resolve(asked, index=True, timeout_seconds=60)
            # Nothing goes by memory alone: the next request is to look again.
            assert source.cached(asked, index=True) is None
            assert source.cached_manifest(asked.repository, found.digest) is None
            return found.build

        with pytest.raises(NameUnknown):
            await key_at("latest")
        await store.write(environment_key(NAME), dump_pointer(pointer))
        assert await key_at("latest") == key
        moved = replace(pointer, active=other, versions={1: key, 2: other})
        await store.write(environment_key(NAME), dump_pointer(moved))
        assert await key_at("latest") == other
        await store.delete(environment_key(NAME))
        with pytest.raises(NameUnknown):
            await key_at("latest")
        learnt.clear()
        for name in ("env/numpy", "build/x", "a", "a/b/c", "../x", "A/b", "a/..", ""):
            await stored.look(name)
        followed = True
        await stored.look(NAME)
        assert learnt == []
