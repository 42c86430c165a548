"""What is pulled, when last, and what it takes: by day, of environments and namespaces."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, update

from registry.catalog.blobs import fill_blobs
from registry.catalog.lookup import cursor
from registry.catalog.measuring import Measuring
from registry.catalog.pull_writer import write_pulls
from registry.catalog.quotas import Quotas
from registry.catalog.sizes import BuildBlob, keep_blobs
from registry.catalog.usage import KEPT_DAYS, UsageReports, Used, UsedDay
from registry.database import Database, tables
from registry.errors import CursorInvalid, DatabaseUnavailable, EnvironmentUnknown, NamespaceUnknown
from registry.sources.directory import Directory, Pointer
from registry.sources.pulls import PullCounts
from tests.registry.catalog.house import ADA, House, key_of
from tests.registry.catalog.many import fill
from tests.registry.catalog.speed import Ask, slow

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Counter:
    """A server that counts pulls."""

    def __init__(self, house: House, *paths: str) -> None:
        self.house = house
        self.now = NOW
        house.database.now = lambda: self.now
        directory = Directory()
        for path in paths:
            namespace, _, name = path.partition("/")
            directory.put(Pointer(namespace, name, None, {}, (), is_public=False))
        self.counts = PullCounts(directory, self.seconds)
        self.reports = UsageReports(house.database)

    def seconds(self) -> float:
        return self.now.timestamp()

    async def pull(self, path: str, number: int = 1) -> None:
        for _ in range(number):
            self.counts.count(path, "a" * 32)
        await write_pulls(self.house.database, self.counts)


async def built(house: House, path: str, data: bytes, **blobs: int) -> None:
    parts = [BuildBlob(f"sha256:{name}", size) for name, size in blobs.items()]
    async with house.database.writing() as connection:
        await keep_blobs(connection, key_of(data), parts)
    await house.built(path, data)


async def test_pulls_are_counted_by_day_for_environment_and_namespace(house: House) -> None:
    paths = "analytics/one", "analytics/two", "other/one"
    for path in paths:
        await house.environment(path)
    counter = Counter(house, *paths)
    await counter.pull("analytics/one", 3)
    await counter.pull("analytics/one", 2)
    await counter.pull("analytics/two")
    counter.now += DAY
    await counter.pull("analytics/one")
    used, days = await counter.reports.environment("analytics", "one", days=2)
    assert used == Used("analytics/one", 0, 0, 6, NOW + DAY)
    assert days == [UsedDay("2026-11-29", 5, 0, 0), UsedDay("2026-11-30", 1, 0, 0)]
    used, days = await counter.reports.namespace("analytics", days=1)
    assert used == Used("analytics", 0, 0, 1, NOW + DAY, environments=2)
    assert days == [UsedDay("2026-11-30", 1, 0, 0, builds=0)]
    page = await counter.reports.environments("analytics", limit=1)
    assert [(one.name, one.pulls) for one in page.items] == [("analytics/one", 6)]
    page = await counter.reports.environments("analytics", limit=1, after=page.next)
    assert ([(one.name, one.pulls) for one in page.items], page.next) == (
        [("analytics/two", 1)],
        None,
    )
    page = await counter.reports.namespaces()
    assert [(one.name, one.pulls, one.environments) for one in page.items] == [
        ("analytics", 7, 2),
        ("other", 0, 1),
    ]


async def test_pulls_of_what_moves_stay_where_they_were_and_go_with_the_environment(
    house: House,
) -> None:
    for path in ("analytics/one", "other/one"):
        await house.environment(path)
    counter = Counter(house, "analytics/one", "other/two")
    await counter.pull("analytics/one", 4)
    await house.environments.move(ADA, "analytics", "one", "other", "two")
    await counter.pull("analytics/one", 100)
    await counter.pull("other/two")
    assert (await counter.reports.environment("other", "two"))[0].pulls == 5
    assert (await counter.reports.namespace("analytics"))[0].pulls == 4
    assert (await counter.reports.namespace("other"))[0].pulls == 1


async def test_counts_are_kept_while_the_database_is_down(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.environment("analytics/one")
    counter = Counter(house, "analytics/one")

    def down(self: Database, **_: Any) -> Any:
        raise DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(Database, "writing", down)
        with pytest.raises(DatabaseUnavailable):
            await counter.pull("analytics/one", 2)
    await counter.pull("analytics/one")
    assert (await counter.reports.environment("analytics", "one"))[0].pulls == 3


async def test_a_large_namespace_is_measured_in_parts_and_with_all_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.catalog.measuring._SMALL", 1)
    for path in ("analytics/one", "analytics/two", "other/one"):
        await house.environment(path)
    counter = Counter(house)
    measuring = Measuring(house.database)
    await measuring.changed()
    await built(house, "analytics/one", b"a", **{"base": 1000, "00": 100, "1": 10, "z": 5})
    await built(house, "analytics/two", b"b", **{"base": 1000, "00": 100, "a7": 20})
    await built(house, "other/one", b"c", **{"base": 1000, "1": 10})
    await measuring.changed()
    assert (await counter.reports.namespace("analytics"))[0].own_bytes == 0
    await measuring.all()
    of_all, _ = await counter.reports.namespace("analytics")
    page = await counter.reports.environments("analytics")
    assert [(one.name, one.own_bytes, one.shared_bytes) for one in (of_all, *page.items)] == [
        ("analytics", 125, 1010),
        ("analytics/one", 105, 1010),
        ("analytics/two", 120, 1000),
    ]


async def test_own_bytes_are_those_that_no_other_namespace_has(house: House) -> None:
    for path in ("analytics/one", "analytics/two", "other/one"):
        await house.environment(path)
    counter = Counter(house)
    measuring = Measuring(house.database)
    await measuring.changed()
    await built(house, "analytics/one", b"a", base=1000, common=100, a=10)
    await built(house, "analytics/one", b"b", base=1000, common=100, b=20)
    await built(house, "analytics/two", b"c", base=1000, common=100, c=40)
    await built(house, "other/one", b"d", base=1000, d=3)
    await measuring.changed()

    async def sizes() -> dict[str, tuple[int, int]]:
        found = {}
        for slug in ("analytics", "other"):
            of_all, _ = await counter.reports.namespace(slug)
            page = await counter.reports.environments(slug)
            for one in (of_all, *page.items):
                found[one.name] = (one.own_bytes, one.shared_bytes)
        return found

    assert await sizes() == {
        "analytics": (170, 1000),
        "analytics/one": (130, 1000),
        "analytics/two": (140, 1000),
        "other": (3, 1000),
        "other/one": (3, 1000),
    }
    # What is deleted is not had any more; that others share less is seen when all is measured.
    await house.environments.delete(ADA, "other", "one")
    await measuring.changed()
    assert (await sizes())["other"] == (0, 0)
    assert (await sizes())["analytics"] == (170, 1000)
    await measuring.all()
    assert (await sizes())["analytics"] == (1170, 0)
    await house.environments.restore(ADA, "other", "one")
    await measuring.all()
    assert (await sizes())["other/one"] == (3, 1000)


async def test_a_day_has_the_size_of_the_one_before_until_it_changes(house: House) -> None:
    await house.environment("analytics/one")
    counter = Counter(house)
    measuring = Measuring(house.database)
    await built(house, "analytics/one", b"a", a=10)
    await measuring.all()
    counter.now += 2 * DAY
    await measuring.all()
    await built(house, "analytics/one", b"b", b=5)
    await measuring.all()
    _, days = await counter.reports.environment("analytics", "one", days=4)
    assert [(one.day[-2:], one.own_bytes) for one in days] == [
        ("28", 0),
        ("29", 10),
        ("30", 10),
        ("01", 15),
    ]
    _, days = await counter.reports.namespace("analytics", days=2)
    assert [(one.own_bytes, one.builds) for one in days] == [(10, 0), (15, 1)]
    # Old days go, but for what still holds.
    counter.now += KEPT_DAYS * DAY
    await counter.reports.forget_old()
    assert (await counter.reports.namespace("analytics"))[0].own_bytes == 15
    async with house.database.reading() as connection:
        rows = (await connection.execute(tables.usage_day.select())).all()
    assert [row.day for row in rows] == ["2026-12-01"]


async def test_what_builds_of_before_consist_of_is_filled_in(house: House) -> None:
    await house.environment("analytics/one")
    await house.built("analytics/one", b"a")
    await house.built("analytics/one", b"b")
    asked = []

    async def blobs_of(key: str) -> list[BuildBlob]:
        asked.append(key)
        return [BuildBlob("sha256:x", 7)] if key == key_of(b"a") else []

    await fill_blobs(house.database, blobs_of)
    assert sorted(asked) == sorted([key_of(b"a"), key_of(b"b")])
    asked.clear()
    await fill_blobs(house.database, blobs_of)
    assert asked == [key_of(b"b")]
    await Measuring(house.database).all()
    assert (await Quotas(house.database).get("analytics")).used.size_bytes == 7


async def test_what_is_not_there_is_unknown_and_no_page_shows_another_namespaces(
    house: House,
) -> None:
    for path in ("a/one", "b/one", "c/one"):
        await house.environment(path)
    reports = UsageReports(house.database)
    with pytest.raises(NamespaceUnknown):
        await reports.namespace("nowhere")
    with pytest.raises(NamespaceUnknown):
        await reports.environments("nowhere")
    with pytest.raises(EnvironmentUnknown):
        await reports.environment("a", "nothing")
    after = (await reports.namespaces(limit=1)).next
    page = await reports.environments("c", after=after)
    assert [one.name for one in page.items] == ["c/one"]
    with pytest.raises(CursorInvalid):
        await reports.environments("c", after="ä")


def large(environments: int) -> Iterator[dict[str, Any]]:
    for one in range(environments):
        for back in range(0, 30, 3):
            day = (NOW - back * DAY).date().isoformat()
            yield {
                "environment_id": one + 1,
                "day": day,
                "pulls": one % 7,
                "last_at": NOW - back * DAY,
                "own_bytes": one if back == 27 else None,
                "shared_bytes": 5 if back == 27 else None,
            }


async def test_no_page_takes_long_with_ten_thousand_environments(house: House) -> None:
    database = house.database
    await fill(database, namespaces=2, environments=10_000, versions=1, packages=1)
    rows = list(large(10_000))
    for start in range(0, len(rows), 5000):
        async with database.writing() as connection:
            await connection.execute(insert(tables.usage_day), rows[start : start + 5000])
    database.now = lambda: NOW
    reports = UsageReports(database)
    asked: dict[str, Ask] = {
        "namespaces": lambda: reports.namespaces(limit=100),
        "namespace": lambda: reports.namespace("team-0001", days=366),
        "environments": lambda: reports.environments("team-0001", limit=100, days=366),
        "environment": lambda: reports.environment("team-0001", "env-05001", days=366),
    }
    least = partial(house.environments.get, "team-0001", "env-05001")
    assert await slow(asked, least) == {}
    page = await reports.environments("team-0001", limit=1)
    assert page.items[0].own_bytes == 1


async def test_what_an_environment_has_alone_is_what_deleting_it_frees(house: House) -> None:
    for path in ("analytics/one", "analytics/two", "other/one"):
        await house.environment(path)
    reports = UsageReports(house.database)
    await built(house, "analytics/one", b"first", base=100, alone=7, near=20, far=30)
    await built(house, "analytics/one", b"second", base=100, later=1)
    await built(house, "analytics/two", b"third", base=100, near=20)
    await built(house, "other/one", b"fourth", far=30)
    assert await reports.alone("analytics", "one") == 7 + 1
    assert await reports.alone("other", "one") == 0
    await house.environments.delete(ADA, "analytics", "two")
    assert await reports.alone("analytics", "one") == 100 + 20 + 7 + 1
    with pytest.raises(EnvironmentUnknown):
        await reports.alone("analytics", "two")


async def test_namespaces_are_listed_by_what_they_take(house: House) -> None:
    sizes = {"small": 1, "large": 9, "unmeasured": None, "middle": 5, "also-middle": 5}
    for name, size_bytes in sizes.items():
        await house.namespaces.create(ADA, name)
        async with house.database.writing() as connection:
            table = tables.namespace
            await connection.execute(
                update(table).where(table.c.slug == name).values(size_bytes=size_bytes)
            )
    reports = UsageReports(house.database)
    found: list[str] = []
    after = None
    while True:
        page = await reports.namespaces(is_by_size=True, after=after, limit=2)
        found += [one.name for one in page.items]
        after = page.next
        if after is None:
            break
    assert found == ["large", "also-middle", "middle", "small", "unmeasured"]
    with pytest.raises(CursorInvalid):
        await reports.namespaces(is_by_size=True, after=cursor("small"))
    async with house.database.writing() as connection:  # as it was made: nothing is there
        await connection.execute(update(tables.namespace).values(size_bytes=0))
