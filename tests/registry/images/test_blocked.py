"""Builds that are blocked, and what is a variant of one, on a real service's store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import StoreUnavailable
from builder.lock import Lock
from registry.errors import BuildBlocked
from registry.images.blocked import BlockedBuilds, dump_block
from registry.images.stems import Stem, Stems, stem_of
from registry.storage.layout import blocked_key, stem_key
from registry.web.services import Services
from registry.wiring.services import open_services
from tests.registry.pulling import built, pull
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

REASON = "it has a backdoor"
NOWHERE = "0" * 32


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[Services]:
    async with open_services(site.configured(), now=site.clock) as services:
        yield services


def blocked_of(services: Services) -> BlockedBuilds:
    return services.builds.locked.blocked


async def key_of(services: Services, name: str, tag: str = "latest") -> str:
    key = (await pull(services, name, tag)).build
    assert key is not None
    return key


async def lock_of(services: Services, key: str) -> Lock:
    lock = await built(services)._builds.records.lock(key)
    assert lock is not None
    return lock


async def refused(services: Services, name: str, tag: str = "latest") -> str:
    with pytest.raises(BuildBlocked) as error:
        await pull(services, name, tag)
    return error.value.message


async def test_whoever_asks_is_told_which_build_and_why(site: Site) -> None:
    async with opened(site) as services:
        key = await key_of(services, "env/tool")
        blocked_of(services).put(key, REASON)
        message = await refused(services, "env/tool")
        assert key in message
        assert REASON in message
        assert "\n" not in message


@pytest.mark.parametrize("tag", ["bare", "user1000", "bare-user1000"])
@pytest.mark.parametrize("is_known", [True, False])
async def test_variants_of_it_are_blocked_by_whatever_name(
    site: Site, tag: str, is_known: bool
) -> None:
    """Also those that nobody has pulled before: they have keys of their own."""
    async with opened(site) as services:
        key = await key_of(services, "env/tool")
        variant = await key_of(services, "env/tool", tag) if is_known else ""
        assert variant != key
        blocked_of(services).put(key, REASON)
        assert key in await refused(services, f"build/{key}", tag)
        assert key in await refused(services, "env/tool", tag)
        if is_known:
            assert key in await refused(services, f"build/{variant}")
        blocked_of(services).remove(key)
        assert (await pull(services, f"build/{key}", tag)).build not in {"", key}


async def test_what_it_is_a_variant_of_is_not_blocked(site: Site) -> None:
    async with opened(site) as services:
        bare = await key_of(services, "env/tool", "bare")
        blocked_of(services).put(bare, REASON)
        key = await key_of(services, "env/tool")
        await refused(services, f"build/{key}", "bare")
        await refused(services, "env/tool", "bare-user1000")
        assert await key_of(services, "env/library", "bare") != bare


async def test_other_servers_know_by_the_store_and_forget_by_it(site: Site) -> None:
    async with opened(site) as services:
        key = await key_of(services, "env/tool")
        store = services.repositories._store
        await store.write(blocked_key(key), dump_block(REASON))
        await store.write(blocked_key(NOWHERE), dump_block("it is nowhere"))
        await blocked_of(services).read()
        assert blocked_of(services).keys() == {key, NOWHERE}
        assert REASON in await refused(services, "env/tool")
        assert (await pull(services, "env/library", "latest")).build is not None
        await store.delete(blocked_key(key))
        await blocked_of(services).read()
        assert blocked_of(services).keys() == {NOWHERE}
        assert await key_of(services, "env/tool") == key


async def test_a_name_whose_build_is_blocked_leads_to_the_next_one(site: Site) -> None:
    """What was answered before is not: what the name means is asked again."""
    async with opened(site) as services:
        before = await key_of(services, "env/tool")
        blocked_of(services).put(before, REASON)
        await refused(services, "env/tool")
        site.clock.now += 86_400  # what it was solved to is too old by then
        await refused(services, "env/tool")
        await refused(services, "env/tool")  # remembered
        blocked_of(services).remove(before)
        assert await key_of(services, "env/tool") == before


async def test_stems_are_written_once_and_read_from_then_on(site: Site) -> None:
    async with opened(site) as services:
        key, other = await key_of(services, "env/tool"), await key_of(services, "env/library")
        assert site.files("stems") == []
        blocked_of(services).put(key, REASON)
        await refused(services, "env/tool")
        await pull(services, f"build/{other}", "latest")
        assert [path.stem for path in site.files("stems")] == sorted([key, other])
        lock = await lock_of(services, other)
        stem = stem_of(lock)
        assert stem == stem_of(replace(lock, user="1000:1000"))
        assert stem.has_variant(stem_of(replace(lock, base=None)))
        assert (
            await Stems(services.repositories._store, built(services)._artifacts._workers).of_key(
                NOWHERE
            )
            is None
        )


async def test_while_the_store_is_down_what_is_in_memory_is_answered_but_not_what_is_blocked(
    site: Site,
) -> None:
    async with opened(site) as services:
        key, other = await key_of(services, "env/tool"), await key_of(services, "env/library")
        blocked = blocked_of(services)

        class Down(Stems):
            asked = 0

            async def of_key(self, key: str) -> Stem | None:
                self.asked += 1
                raise StoreUnavailable("the store does not answer")

        down = Down(services.repositories._store, built(services)._artifacts._workers)
        blocked._stems = down
        blocked.put(key, REASON)
        await refused(services, "env/tool")
        for _ in range(5):
            assert await key_of(services, "env/library") == other
        # It is asked once in a while, and not by every pull.
        assert down.asked == 1
        assert not blocked.is_clear(other)
    assert stem_key(key) not in {str(path) for path in site.files("stems")}
