from typing import Final

import pytest

from registry.catalog.counted_builds import BuildFilter, CountedBuilds
from registry.catalog.counted_lists import CountedLists, EnvironmentFilter, Slice
from registry.catalog.records import EVERYTHING, State, Visibility
from registry.database import Database
from tests.registry.catalog.many import fill

pytestmark = pytest.mark.anyio

BY_PATH = Slice(0, 4, ("namespace", "name"))
BUILT: Final[tuple[State, ...]] = ("built",)
FAILED: Final[tuple[State, ...]] = ("failed",)


@pytest.fixture
async def filled(database: Database) -> Database:
    await fill(database, namespaces=3, environments=9, versions=2, packages=3, facts=True)
    return database


async def test_environments_are_listed_in_pages_with_their_count(filled: Database) -> None:
    lists = CountedLists(filled)
    first = await lists.environments(EVERYTHING, EnvironmentFilter(), BY_PATH)
    assert (len(first.items), first.count) == (4, 9)
    assert [one.path for one in first.items][:2] == ["team-0000/env-00000", "team-0000/env-00003"]
    last = first.items[-1]
    namespace, name = last.path.split("/")
    after = ({"namespace": namespace, "name": name}, last.id)
    second = await lists.environments(EVERYTHING, EnvironmentFilter(), BY_PATH, after)
    assert second.items[0].path > last.path
    builds = CountedBuilds(filled)
    current = await builds.build(EVERYTHING, last.version_id)
    assert current is not None
    assert current.build.environment_id == last.id
    assert (await builds.specification(current.specification.id)) == b"{}"


async def test_environments_are_filtered_in_the_database(filled: Database) -> None:
    lists = CountedLists(filled)
    for wanted, count in (
        (EnvironmentFilter(namespace="team-0001"), 3),
        (EnvironmentFilter(namespace="no slug"), 0),
        (EnvironmentFilter(slug="env-00004"), 1),
        (EnvironmentFilter(search="NUMBER 4"), 1),
        (EnvironmentFilter(states=BUILT), 9),
        (EnvironmentFilter(states=FAILED), 0),
        (EnvironmentFilter(states=()), 0),
        (EnvironmentFilter(has_files=True), 9),
        (EnvironmentFilter(packages=("openssl",)), 9),
        (EnvironmentFilter(packages=("openssl", "nothing")), 0),
    ):
        found = await lists.environments(EVERYTHING, wanted, Slice())
        assert (len(found.items), found.count) == (count, count), wanted
    some = Visibility((("team-0001", "*"), ("team-0002", "env-00002")))
    found = await lists.environments(some, EnvironmentFilter(), Slice())
    assert found.count == 4
    assert await lists.environment(some, "team-0000", "env-00000") is None
    assert await lists.environment(some, "team-0002", "env-00002") is not None
    assert (await lists.namespaces(some, Slice())).count == 2
    totals = await lists.totals(some)
    assert [(one.name, one.environments, one.versions) for one in totals] == [
        ("team-0001", 3, 6),
        ("team-0002", 1, 2),
    ]
    assert totals[1].size_bytes is None


@pytest.mark.parametrize("sort_by", [(), ("namespace",), ("name",), ("name", "namespace")])
@pytest.mark.parametrize("is_descending", [False, True])
async def test_each_order_can_be_followed(
    filled: Database, sort_by: tuple[str, ...], is_descending: bool
) -> None:
    lists = CountedLists(filled)
    part, found, after = Slice(0, 2, sort_by, is_descending), [], None
    while True:
        page = await lists.environments(EVERYTHING, EnvironmentFilter(), part, after)
        if not page.items:
            break
        found += [one.id for one in page.items]
        namespace, name = page.items[-1].path.split("/")
        after = ({"namespace": namespace, "name": name}, page.items[-1].id)
    whole = Slice(0, 100, sort_by, is_descending)
    everything = await lists.environments(EVERYTHING, EnvironmentFilter(), whole)
    assert found == [one.id for one in everything.items]
    assert len(set(found)) == 9


async def test_builds_are_listed_and_filtered(filled: Database) -> None:
    builds = CountedBuilds(filled)
    for wanted, count in (
        (BuildFilter(), 18),
        (BuildFilter(environment_id=1), 2),
        (BuildFilter(namespace="team-0001", slug="env-00001"), 2),
        (BuildFilter(states=FAILED), 0),
        (BuildFilter(has_files=True), 18),
        (BuildFilter(packages=("openssl",)), 18),
    ):
        for order in ((), ("id",), ("scheduled_on",), ("started_on",), ("ended_on",)):
            found = await builds.builds(EVERYTHING, wanted, Slice(0, 100, order, True))
            assert (len(found.items), found.count) == (count, count), wanted
    some = Visibility((("team-0001", "*"),))
    assert (await builds.builds(some, BuildFilter(), Slice())).count == 6
    assert await builds.build(some, 1) is None
    assert await builds.build(EVERYTHING, 0) is None
    found = await builds.builds(EVERYTHING, BuildFilter(), Slice(0, 100, ("id",)))
    key = found.items[-1].key
    assert key is not None
    packages = await builds.packages(key, Slice(0, 2, ("channel", "name")))
    assert (len(packages.items), packages.count) == (2, 3)
    exact = await builds.packages(key, Slice(), search="openssl", is_exact=True)
    assert [one.name for one in exact.items] == ["openssl"]
    assert (await builds.packages("0" * 32, Slice())).count == 0
