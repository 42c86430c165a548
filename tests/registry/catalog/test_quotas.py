"""What namespaces may have: refused with one sentence before anything is built, or changed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from registry.catalog.limits import NO_LIMIT, Limits, next_day
from registry.catalog.measuring import Measuring
from registry.catalog.quotas import Quota, Quotas
from registry.catalog.records import EVERYTHING, Version
from registry.catalog.runner import VersionRunner
from registry.catalog.sizes import BuildBlob, keep_blobs
from registry.catalog.versions import Versions
from registry.database import tables
from registry.errors import BuildsUsedUp, NamespaceUnknown, QuotaExceeded, RevisionConflict
from tests.registry.catalog.house import (
    ADA,
    BOB,
    House,
    key_of,
    no_repository_is_open,
    stop,
)

pytestmark = pytest.mark.anyio


async def set_quota(house: House, namespace: str = "analytics", **said: int) -> Quota:
    return await Quotas(house.database).set(ADA, namespace, said)


async def quota_of(house: House, namespace: str = "analytics") -> Quota:
    return await Quotas(house.database).get(namespace)


async def built(house: House, path: str, data: bytes, **blobs: int) -> Version:
    """Have a version built whose image has blobs of these names and sizes."""
    parts = [BuildBlob(f"sha256:{name}", size) for name, size in blobs.items()]
    async with house.database.writing() as connection:
        await keep_blobs(connection, key_of(data), parts)
    return await house.built(path, data)


async def test_a_namespace_has_as_many_environments_as_it_may(house: House) -> None:
    await house.environment("analytics/one")
    await set_quota(house, environments=2)
    await house.environment("analytics/two")
    with pytest.raises(QuotaExceeded) as refused:
        await house.environment("analytics/three")
    assert refused.value.message == (
        "'analytics' may have 2 environments, and would have 3: delete what is not needed, or ask"
        " an administrator of the service for more"
    )
    with pytest.raises(QuotaExceeded):
        await house.environments.create_from(ADA, "analytics", "three", b"a")
    assert house.requests.asked == []
    with pytest.raises(QuotaExceeded):
        await house.environments.copy(ADA, "analytics", "one", "analytics", "three")
    await house.environment("other/one")
    with pytest.raises(QuotaExceeded):
        await house.environments.move(ADA, "other", "one", "analytics", "three")
    found = await house.environments.search(EVERYTHING)
    paths = [one.path for one in found.items]
    assert paths == ["analytics/one", "analytics/two", "other/one"]
    # What is there can be called otherwise, and taken away.
    await house.environments.move(ADA, "analytics", "two", "analytics", "second")
    await house.environments.delete(ADA, "analytics", "one")
    await house.environment("analytics/three")
    with pytest.raises(QuotaExceeded):
        await house.environments.restore(ADA, "analytics", "one")
    assert "quota.set" in await house.actions()


async def test_lowering_a_quota_takes_nothing_away_and_refuses_no_deletion(house: House) -> None:
    for name in ("one", "two", "three"):
        await house.environment(f"analytics/{name}")
    quota = await set_quota(house, environments=1)
    assert (quota.used.environments, quota.limits.environments) == (3, 1)
    await house.environments.delete(ADA, "analytics", "three")
    await house.environments.update(ADA, "analytics", "two", description="still here")
    with pytest.raises(QuotaExceeded):
        await house.environments.restore(ADA, "analytics", "three")


async def test_unique_bytes_count_once_and_nothing_is_built_above_them(house: House) -> None:
    await house.environment("analytics/one")
    await house.environment("analytics/two")
    await built(house, "analytics/one", b"a", base=60, a=30)
    await built(house, "analytics/two", b"b", base=60, b=20)
    assert (await quota_of(house)).used.size_bytes == 110
    await set_quota(house, size_bytes=111)
    await house.built("analytics/one", b"c")
    await set_quota(house, size_bytes=110)
    asked = len(house.requests.asked)
    with pytest.raises(QuotaExceeded) as refused:
        await house.versions.ask(ADA, "analytics", "one", b"d")
    assert refused.value.message == (
        "the images of 'analytics' take 110 bytes, and may take 110 bytes: delete what is not"
        " needed, free old versions ('pullforge retention free analytics'), or ask an"
        " administrator of the service for more"
    )
    assert len(house.requests.asked) == asked
    # What it has is given as before, and what asks for it again gets the same.
    again, is_new = await house.versions.ask(ADA, "analytics", "one", b"c")
    assert (again.number, is_new) == (2, False)
    await house.versions.activate(ADA, "analytics", "one", 1)
    await house.environments.delete(ADA, "analytics", "two")
    assert (await quota_of(house)).used.size_bytes == 90
    await house.versions.ask(ADA, "analytics", "one", b"d")


async def test_what_a_namespace_takes_is_kept_and_corrected_by_measuring(house: House) -> None:
    await house.environment("analytics/one")
    await built(house, "analytics/one", b"a", base=100, a=1)
    table, measuring = tables.namespace, Measuring(house.database)
    for kept, shown in ((5000, 5000), (3, 3), (None, 101)):  # never measured: it is counted
        async with house.database.writing() as connection:
            await connection.execute(update(table).values(size_bytes=kept))
        assert (await quota_of(house)).used.size_bytes == shown
        await measuring.all()
        assert (await quota_of(house)).used.size_bytes == 101
    async with house.database.writing() as connection:
        await connection.execute(update(table).values(size_bytes=None))
    await built(house, "analytics/one", b"b", base=100, b=20)
    assert (await quota_of(house)).used.size_bytes == 121


async def test_bytes_of_what_is_copied_moved_or_restored_count(house: House) -> None:
    for path in ("analytics/one", "other/big", "other/same"):
        await house.environment(path)
    await built(house, "analytics/one", b"a", base=60, a=30)
    await built(house, "other/big", b"b", base=60, big=50)
    await built(house, "other/same", b"a")
    await set_quota(house, size_bytes=100)
    for change in (house.environments.copy, house.environments.move):
        with pytest.raises(QuotaExceeded) as refused:
            await change(ADA, "other", "big", "analytics", "big")
        assert refused.value.message.startswith(
            "this would add 50 bytes to the images of 'analytics', which may take 100 bytes"
            " together: "
        )
    # What is there anyway costs nothing more, even above the limit.
    await set_quota(house, size_bytes=10)
    await house.environments.copy(ADA, "other", "same", "analytics", "copied")
    await house.environments.move(ADA, "other", "same", "analytics", "moved")
    await house.environments.delete(ADA, "analytics", "moved")
    await house.environments.restore(ADA, "analytics", "moved")
    for name in ("moved", "copied", "one"):
        await house.environments.delete(ADA, "analytics", name)
    with pytest.raises(QuotaExceeded):
        await house.environments.restore(ADA, "analytics", "one")


async def test_builds_of_a_day_are_used_up_and_the_sentence_says_when_it_goes_on(
    house: House,
) -> None:
    database = house.database
    now = datetime(2026, 11, 29, 22, 30, tzinfo=UTC)
    database.now = lambda: now
    await house.environment("analytics/one")
    await set_quota(house, builds_a_day=2)
    await house.versions.ask(ADA, "analytics", "one", b"a")
    await house.environments.create_from(BOB, "analytics", "two", b"b")
    with pytest.raises(BuildsUsedUp) as refused:
        await house.versions.ask(ADA, "analytics", "one", b"c")
    assert refused.value.message == (
        "'analytics' has asked for 2 builds today, which is the most a day: it goes on at"
        " 2026-11-30 00:00 UTC, or ask an administrator of the service for more"
    )
    assert refused.value.seconds == 5400
    with pytest.raises(BuildsUsedUp):
        await house.environments.create_from(ADA, "analytics", "three", b"c")
    names = [one.slug for one in (await house.environments.search(EVERYTHING)).items]
    assert names == ["one", "two"]
    # Neither cancelling nor deleting nor moving away gives one back.
    await house.versions.cancel(ADA, "analytics", "one", 1)
    await house.namespaces.create(ADA, "other")
    await house.environments.move(ADA, "analytics", "one", "other", "one")
    await house.environments.delete(ADA, "analytics", "two")
    await house.environment("analytics/four")
    with pytest.raises(BuildsUsedUp):
        await house.versions.ask(ADA, "analytics", "four", b"d")
    quota = await quota_of(house)
    assert (quota.used.builds_a_day, quota.builds_go_on_at) == (2, next_day(now))
    now += timedelta(hours=2)
    await house.versions.ask(ADA, "analytics", "four", b"d")
    assert (await quota_of(house)).builds_go_on_at is None


async def test_who_makes_a_namespace_anew_has_its_quota_and_no_more_builds(house: House) -> None:
    await house.environment("ada/one")
    await set_quota(house, "ada", builds_a_day=1, environments=3)
    await house.versions.ask(ADA, "ada", "one", b"a")
    await house.namespaces.delete(ADA, "ada")
    await house.environment("ada/two")
    with pytest.raises(BuildsUsedUp):
        await house.versions.ask(ADA, "ada", "two", b"b")
    quota = await quota_of(house, "ada")
    assert (quota.limits.environments, quota.used.environments) == (3, 1)
    await house.namespaces.delete(ADA, "ada")
    await house.namespaces.restore(ADA, "ada")
    assert (await quota_of(house, "ada")).used.environments == 1


async def test_a_namespace_that_may_build_nothing_is_not_told_to_come_again(house: House) -> None:
    await house.environment("analytics/one")
    await set_quota(house, builds_a_day=0)
    with pytest.raises(QuotaExceeded, match="'analytics' may build nothing: ask an administrator"):
        await house.versions.ask(ADA, "analytics", "one", b"a")
    assert (await quota_of(house)).builds_go_on_at is None


async def test_defaults_hold_where_nothing_is_set_and_no_limit_is_more_than_they(
    house: House,
) -> None:
    await house.environment("analytics/one")
    defaults = Limits(builds_a_day=1, builds_at_once=4)
    versions, quotas = Versions(house.database, limits=defaults), Quotas(house.database, defaults)
    await versions.ask(ADA, "analytics", "one", b"a")
    with pytest.raises(BuildsUsedUp):
        await versions.ask(ADA, "analytics", "one", b"b")
    quota = await quotas.set(ADA, "analytics", {"builds_a_day": NO_LIMIT})
    assert quota.limits == Limits(builds_at_once=4)
    await versions.ask(ADA, "analytics", "one", b"b")
    quota = await quotas.set(ADA, "analytics", {})
    assert (quota.limits, quota.revision) == (defaults, 2)


async def test_setting_a_quota_is_one_event_with_before_and_after(house: House) -> None:
    await house.environment("analytics/one")
    quotas = Quotas(house.database)
    await quotas.set(ADA, "analytics", {"environments": 5}, revision=0)
    await quotas.set(ADA, "analytics", {"environments": 5}, revision=1)
    with pytest.raises(RevisionConflict):
        await quotas.set(ADA, "analytics", {"environments": 6}, revision=0)
    await quotas.set(ADA, "analytics", {"environments": NO_LIMIT, "size_bytes": 7}, revision=1)
    events = await house.events.list(visible=EVERYTHING, namespace="analytics")
    told = [event.detail for event in events if event.action == "quota.set"]
    assert told == [
        {"before": {"environments": None}, "after": {"environments": 5}},
        {
            "before": {"size_bytes": None, "environments": 5},
            "after": {"size_bytes": 7, "environments": "none"},
        },
    ]
    for slug in ("nowhere", "no/name"):
        with pytest.raises(NamespaceUnknown):
            await quotas.get(slug)
        with pytest.raises(NamespaceUnknown):
            await quotas.set(ADA, slug, {})


async def states(house: House) -> dict[str, str]:
    version, environment = tables.version, tables.environment
    statement = select(environment.c.path, version.c.number, version.c.state).join(
        environment, environment.c.id == version.c.environment_id
    )
    async with house.database.reading() as connection:
        rows = (await connection.execute(statement)).all()
    return {f"{path}:{number}": state for path, number, state in rows}


async def test_builds_above_those_at_once_wait_and_are_in_nobodys_way(house: House) -> None:
    for path in ("analytics/one", "analytics/two", "other/one"):
        await house.environment(path)
    await set_quota(house, builds_at_once=1)
    gates = {data: house.requests.hold(data) for data in (b"a", b"b", b"c", b"d")}
    for name, data in (("one", b"a"), ("two", b"b"), ("one", b"c")):
        await house.versions.ask(ADA, "analytics", name, data)
    await house.versions.ask(ADA, "other", "one", b"d")
    # A second server sees what the first one makes.
    second = VersionRunner(
        house.database, house.requests, no_repository_is_open, house.content_of, "two"
    )
    running = [asyncio.create_task(one.run()) for one in (house.runner, second)]
    try:
        await house.reached("analytics/one", 1, "building")
        await house.reached("other/one", 1, "building")
        assert await states(house) == {
            "analytics/one:1": "building",
            "analytics/two:1": "queued",
            "analytics/one:2": "queued",
            "other/one:1": "building",
        }
        assert (await quota_of(house)).used.builds_at_once == 1
        for data, path, number in (
            (b"a", "analytics/two", 1),
            (b"b", "analytics/one", 2),
        ):
            gates[data].set()
            await house.reached(path, number, "building")
            found = [path for path, state in (await states(house)).items() if state == "building"]
            assert found.count("other/one:1") == 1
            assert len(found) == 2
        gates[b"c"].set()
        gates[b"d"].set()
        await house.reached("analytics/one", 2)
        await house.reached("other/one", 1)
        assert set((await states(house)).values()) == {"built"}
    finally:
        await stop(*running)


async def test_many_that_wait_in_one_namespace_do_not_hide_what_their_owner_waits_for_elsewhere(
    house: House,
) -> None:
    await house.environment("analytics/one")
    await house.environment("other/one")
    await set_quota(house, builds_at_once=1)
    house.requests.hold(b"0")
    for number in range(30):
        data = str(number).encode()
        await house.versions.ask(ADA, "analytics", "one", data, renew=True)
    await house.versions.ask(ADA, "other", "one", b"x")
    running = asyncio.create_task(house.runner.run())
    try:
        await house.reached("other/one", 1, "built")
        assert (await house.versions.get("analytics", "one", 2)).state == "queued"
    finally:
        await stop(running)
