import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from registry.catalog import sources as module
from registry.catalog.records import EVERYTHING, Visibility
from registry.catalog.source_records import NewSource, SourceRecord
from registry.catalog.sources import Sources
from registry.database import Database, tables
from registry.errors import (
    CatalogNameInvalid,
    CatalogNameTaken,
    NamespaceUnknown,
    RevisionConflict,
    SourceDeclared,
    SourceInvalid,
    SourceUnknown,
    TooManySources,
)
from tests.registry.catalog.house import ADA, House
from tests.registry.catalog.sourced import FILE, Sourced

pytestmark = pytest.mark.anyio

GIT = NewSource("repository", "git", "https://git.example.org/a.git", "analytics")
DECLARED = NewSource("/srv/envs", "directory", "/srv/envs", "weather")


async def actions(house: House) -> list[str]:
    found = await house.events.list(visible=EVERYTHING, limit=500)
    return [event.action for event in found if event.action.startswith("source.")]


async def late(database: Database, source: SourceRecord) -> None:
    """Have the claim of a source be over."""
    table = tables.source
    async with database.writing() as connection:
        await connection.execute(
            update(table)
            .where(table.c.id == source.id)
            .values(claimed_until=database.now() - timedelta(seconds=1))
        )


async def test_a_namespace_has_so_many_sources_and_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", 2)
    team = await Sourced.make(house)
    await team.sources.create(ADA, GIT)
    another = replace(GIT, name="another")
    with pytest.raises(TooManySources, match="'analytics' has 2 sources"):
        await team.sources.create(ADA, another)
    await team.sources.create(
        ADA, replace(another, namespace=None, patterns=("{namespace}/*.yml",))
    )
    await team.sources.delete(ADA, team.source.id)
    assert (await team.sources.create(ADA, another)).name == "another"


async def test_one_server_at_a_time_has_a_source(house: House) -> None:
    team = await Sourced.make(house)
    sources, number = team.sources, team.source.id
    claims = await asyncio.gather(*(sources.claim(number, f"server {n}") for n in range(5)))
    (winner,) = [n for n, claim in enumerate(claims) if claim is not None]
    mine, other = f"server {winner}", "another"
    assert await sources.claim(number, mine) is not None, "it is renewed"
    assert await sources.claim(number, other) is None
    await sources.release(number, other)
    assert await sources.claim(number, other) is None
    await sources.release(number, mine)
    assert await sources.claim(number, other) is not None
    await late(house.database, team.source)
    assert await sources.claim(number, mine) is not None
    await sources.delete(ADA, number)
    assert await sources.claim(number, mine) is None
    assert await sources.watched() == []


async def test_only_whoever_has_a_source_reports_and_each_failure_is_told_once(
    house: House,
) -> None:
    team = await Sourced.make(house)
    sources, number, began = team.sources, team.source.id, house.database.now()
    await sources.claim(number, "a")
    await sources.report(number, "b", began_at=began, problem="not mine")
    assert (await sources.get(number)).looked_at is None
    for problem in ("it is not there", "it is not there", "it is no directory", "", ""):
        await sources.report(number, "a", began_at=began, problem=problem, commit="c0ffee")
        found = await sources.get(number)
        assert (found.problem, found.commit) == (problem, "c0ffee")
        assert found.looked_at is not None
    assert await actions(house) == ["source.created", "source.failed", "source.recovered"]
    await sources.report(number, "a", began_at=began, problem="odd\0" + "x" * 5000)
    assert len((await sources.get(number)).problem) == 2000


async def test_a_problem_of_a_source_is_one_of_its_environments(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.sources.claim(team.source.id, "a")
    began = house.database.now()
    await team.sources.report(team.source.id, "a", began_at=began, problem="it is not there")
    managed = await team.managed()
    assert managed is not None
    assert managed.problem == "it is not there"


async def test_what_was_asked_for_during_a_look_is_done_by_the_next(house: House) -> None:
    team = await Sourced.make(house)
    sources, number = team.sources, team.source.id
    await sources.claim(number, "a")
    asked = await sources.look_now(number)
    assert asked.asked_at is not None
    await sources.report(number, "a", began_at=asked.asked_at - timedelta(seconds=1))
    assert (await sources.get(number)).asked_at == asked.asked_at
    await sources.report(number, "a", began_at=asked.asked_at)
    assert (await sources.get(number)).asked_at is None


async def test_settings_declare_a_source_once_however_many_servers_start(house: House) -> None:
    await house.follower.start()
    sources = Sources(house.database, house.namespaces)
    found = await asyncio.gather(*(sources.declare(DECLARED) for _ in range(4)))
    assert len({source.id for source in found}) == 1
    assert found[0].is_declared
    assert (await house.namespaces.get("weather")).owner is None
    changed = await sources.declare(replace(DECLARED, removed="archive"))
    assert (changed.id, changed.removed, changed.revision) == (found[0].id, "archive", 2)
    with pytest.raises(SourceDeclared, match="PULLFORGE_WATCH"):
        await sources.update(ADA, changed.id, {"name": "x"})
    assert await actions(house) == ["source.created", "source.updated"]
    # One of that name that somebody has made stays as it is.
    made = await sources.create(ADA, replace(DECLARED, name="own"))
    with pytest.raises(CatalogNameTaken):
        await sources.declare(replace(DECLARED, name="own"))
    assert not (await sources.get(made.id)).is_declared
    house.pushed.names.add("pushed")
    with pytest.raises((CatalogNameTaken, NamespaceUnknown)):
        await sources.declare(replace(DECLARED, namespace="pushed"))
    # Whoever deletes it has it back with the next start.
    await sources.delete(ADA, changed.id)
    assert (await sources.declare(DECLARED)).id != changed.id


async def test_settings_may_write_a_namespace_as_people_call_it(house: House) -> None:
    await house.follower.start()
    sources = Sources(house.database, house.namespaces)
    found = [await sources.declare(replace(DECLARED, namespace="My Team")) for _ in range(2)]
    assert {(source.id, source.namespace) for source in found} == {(found[0].id, "my-team")}
    with pytest.raises(CatalogNameInvalid, match="letters and digits"):
        await sources.declare(replace(DECLARED, namespace="my/team"))


async def test_what_is_declared_again_defines_the_environments_of_before(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.sources.delete(ADA, team.source.id)
    again = await team.sources.create(ADA, NewSource("team", "directory", "/srv", "analytics"))
    file = await team.files.put(again.id, FILE, b"numpy 1", environment="forecast")
    assert (file.problem, len(await team.versions())) == ("", 1)


async def test_sources_are_listed_page_by_page_to_those_who_see_them(house: House) -> None:
    team = await Sourced.make(house)
    await house.namespaces.create(ADA, "weather")
    for number in range(4):
        namespace = "weather" if number % 2 else "analytics"
        wanted = replace(GIT, name=f"s{number}", namespace=namespace)
        await team.sources.create(ADA, wanted)

    async def names(**more: Any) -> list[str]:
        found: list[str] = []
        after: str | None = "0"
        while after is not None:
            page = await team.sources.list(
                lambda one: one.namespace == "analytics", after=int(after), limit=1, **more
            )
            found += [one.name for one in page.items]
            after = page.next
        return found

    assert await names() == ["team", "s0", "s2"]
    assert await names(namespace="weather") == []
    assert await names(namespace="a\0") == []
    assert await names(has_problems=True) == []
    await team.put("broken")
    assert await names(has_problems=True) == ["team"]
    problems, seconds = await team.sources.health()
    assert (problems, 0 <= seconds < 60) == (1, True)
    assert len(await team.sources.watched()) == 5
    await house.namespaces.delete(ADA, "weather")
    assert len(await team.sources.watched()) == 3
    with pytest.raises(SourceUnknown):
        await team.files.put(3, "x.yml", b"numpy", environment="x")


async def test_a_hook_has_one_secret_at_a_time(house: House) -> None:
    team = await Sourced.make(house)
    sources, number = team.sources, team.source.id
    assert await sources.hook_secret(number) is None
    first, second = await sources.new_hook(ADA, number), await sources.new_hook(ADA, number)
    assert first != second
    assert await sources.hook_secret(number) == second
    assert (await sources.get(number)).has_hook
    await sources.drop_hook(ADA, number)
    await sources.drop_hook(ADA, number)
    assert await sources.hook_secret(number) is None
    for unknown in (0, -1, 2**63, 10**30, 999):
        assert await sources.hook_secret(unknown) is None
        with pytest.raises(SourceUnknown):
            await sources.get(unknown)
    found = await house.events.list(visible=EVERYTHING, limit=500)
    assert not any(first in str(event) or second in str(event) for event in found)
    remote = await sources.create(ADA, NewSource("r", "remote", "", "analytics"))
    for call in (sources.new_hook(ADA, remote.id), sources.look_now(remote.id)):
        with pytest.raises(SourceInvalid, match="pullforge watch"):
            await call


async def test_changes_need_the_revision_and_names_are_had_once(house: House) -> None:
    team = await Sourced.make(house)
    sources = team.sources
    other = await sources.create(ADA, GIT)
    with pytest.raises(CatalogNameTaken):
        await sources.create(ADA, GIT)
    with pytest.raises(CatalogNameTaken):
        await sources.update(ADA, other.id, {"name": "team"})
    with pytest.raises(NamespaceUnknown):
        await sources.create(ADA, replace(GIT, namespace="nowhere"))
    same = await sources.update(ADA, other.id, {"branch": ""})
    assert same.revision == other.revision
    changed = await sources.update(ADA, other.id, {"branch": "main"}, revision=1)
    assert (changed.branch, changed.revision) == ("main", 2)
    assert changed.asked_at is not None
    for call in (
        sources.update(ADA, other.id, {"branch": "x"}, revision=1),
        sources.delete(ADA, other.id, revision=1),
    ):
        with pytest.raises(RevisionConflict):
            await call
    await sources.delete(ADA, other.id, revision=2)
    await sources.create(ADA, GIT)
    # A path of a server is nobody's who sees the namespace alone.
    await sources.update(ADA, team.source.id, {"location": "/srv/secret"})
    seen = await house.events.list(visible=Visibility((("analytics", "*"),)), limit=500)
    assert "/srv" not in str([event.detail for event in seen])
