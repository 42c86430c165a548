"""Policies and images by their packages' names: what is refused, what stays, what changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from builder.errors import PolicyRefused
from builder.keys import package_key
from registry.images.rules import RulesRecords
from registry.policy.book import PolicyBook
from registry.policy.policy import read_policy
from registry.sources.directory import Pointer
from registry.web.services import Services
from registry.wiring.services import open_services
from tests.registry.pulling import built, pull, reference
from tests.registry.web.api.site import Site
from tests.tiny_channel import IN_2025, publish, tool

pytestmark = pytest.mark.anyio

NO_TOOL = "[packages]\ndenied = ['tool']\n"
NO_TOOL_2 = "[packages]\ndenied = ['tool ==2.0']\n"
WAIT_SECONDS = 60
NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@asynccontextmanager
async def opened(site: Site, **changes: Any) -> AsyncIterator[Services]:
    async with open_services(site.configured(**changes), now=site.clock) as services:
        yield services


def book_of(services: Services) -> PolicyBook:
    assert services.catalog is not None
    return services.catalog.book


def say(services: Services, text: str, namespace: str | None = None) -> None:
    """Have one policy of that text, and no other of its name."""
    name = "own" if namespace else "company"
    policy = read_policy(name, text, namespace=namespace, source="database")
    book_of(services).put_policy(policy)


async def versions_of(services: Services, key: str | None) -> list[str]:
    """Return the packages of a build, as ``tool 2.0``."""
    assert key is not None
    lock = await built(services)._builds.records.lock(key)
    assert lock is not None
    return [f"{one.name} {one.version}" for one in lock.platforms["linux-64"]]


async def settle(services: Services) -> None:
    """Wait until what goes on in the background has ended."""
    await asyncio.wait_for(built(services)._flights.settle(), WAIT_SECONDS)


async def test_what_a_policy_denies_is_refused_with_its_sentence(site: Site) -> None:
    async with opened(site) as services:
        say(services, "contact = 'it@example.org'\n" + NO_TOOL)
        with pytest.raises(PolicyRefused, match=r"tool.*policy 'company'.*ask it@example.org"):
            await pull(services, "env/tool", "latest")
        assert (await pull(services, "env/library", "latest")).build is not None


async def test_a_policy_of_a_namespace_is_nothing_to_such_names(site: Site) -> None:
    async with opened(site) as services:
        say(services, NO_TOOL, namespace="analytics")
        assert (await pull(services, "env/tool", "latest")).build is not None


async def test_a_solve_takes_what_is_allowed_and_the_log_says_so(site: Site) -> None:
    async with opened(site) as services:
        say(services, NO_TOOL_2)
        with capture_logs() as logs:
            image = await pull(services, "env/tool", "latest")
        assert "tool 1.0" in await versions_of(services, image.build)
        [line] = [one for one in logs if one["event"] == "policies had a say"]
        assert "tool 2.0 is left out by policy 'company'" in line["left_out"][0]


async def test_a_key_says_nothing_of_policies(site: Site) -> None:
    """The same packages are the same build, whoever let them pass."""
    async with opened(site) as services:
        before = await pull(services, "env/library", "latest")
        say(services, NO_TOOL)
        assert (await pull(services, "env/library", "bare")).build != before.build
        site.clock.now += 7 * 86_400
        assert (await pull(services, "env/library", "latest")).build == before.build
        await settle(services)
        assert (await pull(services, "env/library", "latest")).build == before.build


async def test_what_was_built_before_stays_although_it_cannot_be_renewed(site: Site) -> None:
    async with opened(site) as services:
        before = await pull(services, "env/tool", "latest")
        say(services, NO_TOOL)
        assert await pull(services, "env/tool", "latest") == before
        site.clock.now += 7 * 86_400
        for _ in range(3):
            assert await pull(services, "env/tool", "latest") == before
            await settle(services)
        assert await pull(services, f"build/{before.build}", "latest") == before
    async with opened(site) as services:
        say(services, NO_TOOL)
        assert await pull(services, "env/tool", "latest") == before


async def test_what_is_renewed_is_renewed_by_the_rules_that_hold_then(site: Site) -> None:
    async with opened(site) as services:
        await publish(site.channel, tool("3.0", IN_2025))
        first = await pull(services, "env/tool", "latest")
        assert "tool 3.0" in await versions_of(services, first.build)
        say(services, "[packages]\ndenied = ['tool >=2']\n")
        site.clock.now += 7 * 86_400
        assert await pull(services, "env/tool", "latest") == first
        await settle(services)
        renewed = await pull(services, "env/tool", "latest")
        assert "tool 1.0" in await versions_of(services, renewed.build)


async def test_a_refusal_holds_until_a_policy_changes(site: Site) -> None:
    """An answer that is remembered is not waited for to expire: whoever was let pass pulls."""
    async with opened(site) as services:
        say(services, NO_TOOL)
        for _ in range(2):
            with pytest.raises(PolicyRefused):
                await pull(services, "env/tool", "latest")
        book_of(services).remove_policy("company")
        assert (await pull(services, "env/tool", "latest")).build is not None


async def test_a_policy_that_warns_builds_and_says_so(site: Site) -> None:
    async with opened(site) as services:
        say(services, "mode = 'warn'\n" + NO_TOOL)
        with capture_logs() as logs:
            assert (await pull(services, "env/tool", "latest")).build is not None
        [line] = [one for one in logs if one["event"] == "policies had a say"]
        assert "policy 'company'" in line["warnings"][0]


async def test_a_day_is_settled_when_its_packages_are_old_enough(site: Site) -> None:
    """Until then, more of what was published by that day is allowed each day."""
    site.clock.now = IN_2025 / 1000 + 5 * 86_400
    async with opened(site) as services:
        say(services, "[age]\nminimum = '10 days'\n")
        young = await pull(services, "env/tool", "2025-01-02")
        assert "tool 1.0" in await versions_of(services, young.build)
        site.clock.now += 10 * 86_400
        await pull(services, "env/tool", "2025-01-02")
        await settle(services)
        old = await pull(services, "env/tool", "2025-01-02")
        assert "tool 2.0" in await versions_of(services, old.build)
        record = await built(services)._tags.get("env/tool", "2025-01-02")
        assert record is not None
        assert record.fresh_until is None


async def test_a_server_whose_database_is_down_builds_nothing_that_policies_refuse(
    site: Site,
) -> None:
    """By what another one has written into the store, as workers do that have no database."""
    async with opened(site) as services:
        say(services, NO_TOOL)
        records = RulesRecords(services.repositories._store, site.clock)
        await records.publish(book_of(services).rules(None))
    async with opened(site, database=NOWHERE) as services:
        with pytest.raises(PolicyRefused, match="policy 'company'"):
            await built(services).ensure(reference("env/tool", "latest"), max_age=0)
        assert (await pull(services, "env/library", "latest")).build is not None


async def test_a_server_tells_the_others_what_holds(site: Site) -> None:
    async with opened(site) as services:
        records = RulesRecords(services.repositories._store, site.clock)
        say(services, NO_TOOL)
        rules = book_of(services).rules(None)
        async with asyncio.timeout(WAIT_SECONDS):
            while await records.published() != rules:  # noqa: ASYNC110 (it is in the store)
                await asyncio.sleep(0.01)


async def test_nothing_is_fetched_for_what_is_refused(site: Site) -> None:
    async with opened(site) as services:
        say(services, NO_TOOL)
        with pytest.raises(PolicyRefused):
            await pull(services, "env/tool", "latest")
        assert site.files("locks") == []
        assert site.files(package_key("00").partition("/")[0]) == []


async def test_no_image_is_made_without_a_base_where_a_policy_wants_one(site: Site) -> None:
    async with opened(site) as services:
        image = await pull(services, "env/tool", "latest")
        say(services, "[bases]\nallowed = ['oci:*', '*@sha256:*']\n")
        for name in ("env/tool", f"build/{image.build}"):
            with pytest.raises(PolicyRefused, match="policy 'company'"):
                await pull(services, name, "bare")
        await pull(services, f"build/{image.build}", "user1000")


async def test_a_namespaces_policy_about_bases_holds_for_the_tags_of_its_environments(
    site: Site,
) -> None:
    async with opened(site) as services:
        assert services.catalog is not None
        key = (await pull(services, "env/tool", "latest")).build
        assert key is not None
        pointer = Pointer("analytics", "forecast", key, {1: key}, (), True)
        services.catalog.directory.put(pointer)
        bare = reference("analytics/forecast", "v1-bare")
        await pull(services, "analytics/forecast", "v1-bare")
        await pull(services, "analytics/forecast", "v1-bare")
        source = services.sources.of("analytics/forecast")
        assert source.cached(bare, index=True) is not None
        say(services, "[bases]\nallowed = ['oci:*']\n", namespace="analytics")
        assert source.cached(bare, index=True) is None
        with pytest.raises(PolicyRefused, match="policy 'own'"):
            await pull(services, "analytics/forecast", "v1-bare")
        await pull(services, "analytics/forecast", "v1")
        await pull(services, "env/tool", "bare")
