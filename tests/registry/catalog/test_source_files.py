import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.event import listen, remove

from registry.catalog import queueing
from registry.catalog.blocks import Blocks
from registry.catalog.limits import Limits
from registry.catalog.records import Visibility
from registry.catalog.source_records import NewSource
from registry.database import tables
from registry.errors import (
    DatabaseUnavailable,
    EnvironmentManaged,
    EnvironmentUnknown,
    SourceInvalid,
    SourceUnknown,
)
from tests.registry.catalog.house import ADA, BOB, House, key_of
from tests.registry.catalog.sourced import FILE, PATH, Sourced

pytestmark = pytest.mark.anyio


async def test_a_file_makes_its_environment_and_a_version_that_becomes_active(house: House) -> None:
    team = await Sourced.make(house)
    file = await team.put("numpy 2")
    assert (file.path, file.environment, file.problem) == (FILE, PATH, "")
    version = await house.ended(PATH, 1)
    environment = await team.environment()
    assert (version.state, version.reason, environment.active) == ("built", "file", 1)
    assert version.requested_by == "ada", "whose rights decide what it may pull"
    managed = await team.managed()
    assert managed is not None
    assert (managed.source, managed.path, managed.problem) == ("team", FILE, "")


async def test_whoever_has_another_place_looked_at_has_nothing_built_by_anothers_rights(
    house: House,
) -> None:
    team = await Sourced.make(house)
    await team.sources.update(BOB, team.source.id, {"location": "/srv/bobs"})
    assert "'bob' may not pull ada/secret" in (await team.put("registry:ada/secret")).problem
    await team.sources.update(ADA, team.source.id, {"location": "/srv/envs"})
    assert not (await team.put("registry:ada/secret")).problem
    assert (await team.versions())[0].requested_by == "ada"


async def test_a_server_that_has_lost_a_source_does_nothing_with_what_it_has_read(
    house: House,
) -> None:
    team = await Sourced.make(house)
    number, put = team.source.id, team.files.put
    assert await team.sources.claim(number, "slow", seconds=0) is not None
    await put(number, FILE, b"numpy 1", environment="forecast", by="slow")
    assert await team.sources.claim(number, "quick") is not None
    await put(number, FILE, b"numpy 2", environment="forecast", by="quick")
    for late in (
        put(number, FILE, b"numpy 1", environment="forecast", by="slow"),
        put(number, FILE, b"broken", environment="forecast", by="slow"),
        team.files.fail(number, FILE, "it cannot be read", by="slow"),
        team.files.gone(number, FILE, by="slow"),
    ):
        with pytest.raises(SourceUnknown):
            await late
    assert await team.states() == ["cancelled", "queued"]
    assert (await team.file()).problem == ""


async def test_to_hand_a_file_over_costs_the_same_however_many_there_are(house: House) -> None:
    """All files of a source were counted with each: a thousand of them cost a million."""
    team = await Sourced.make(house)
    assert await team.sources.claim(team.source.id, "server") is not None
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    listen(Engine, "before_cursor_execute", note)
    try:
        await team.put("numpy 1")
        await team.put("broken")
        await team.gone()
        await team.sources.watched()
        await team.sources.claim(team.source.id, "server")
    finally:
        remove(Engine, "before_cursor_execute", note)
    counting = [one for one in said if "count(" in one and "FROM source_file" in one]
    assert said
    assert counting == []


async def test_the_same_text_again_changes_nothing_and_tells_nobody(house: House) -> None:
    team = await Sourced.make(house)
    first = await team.put("numpy 2")
    before = await house.events.newest()
    assert await team.put("numpy 2") == first
    assert await house.events.newest() == before
    assert len(await team.versions()) == 1


async def test_another_text_is_another_version_and_what_is_under_way_for_the_older_is_cancelled(
    house: House,
) -> None:
    team = await Sourced.make(house)
    for number in range(5):
        await team.put(f"numpy {number}")
    assert await team.states() == ["cancelled"] * 4 + ["queued"]
    await house.ended(PATH, 5)
    assert (await team.environment()).active == 5


async def test_an_earlier_text_activates_its_version_without_a_build(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.built("numpy 2")
    house.requests.asked.clear()
    await team.put("numpy 1")
    environment = await team.environment()
    assert (environment.active, len(await team.versions())) == (1, 2)
    assert house.requests.asked == []
    event = (await team.events("version.activated"))[-1]
    assert (event.number, event.detail["reason"]) == (
        1,
        "the file went back to the text of version 1",
    )
    assert event.actor is None
    await team.put("numpy 2")
    assert ((await team.environment()).active, len(await team.versions())) == (2, 2)


async def test_what_was_being_made_when_the_file_went_back_becomes_active_no_more(
    house: House,
) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.put("numpy 2")
    # Somebody has the text of version 1 solved anew meanwhile, which is no edit.
    await house.versions.ask(ADA, "analytics", "forecast", b"numpy 2", renew=True)
    await team.put("numpy 1")
    assert await team.states() == ["built", "cancelled", "queued"]
    house.requests.keys[b"numpy 2"] = key_of(b"another")
    await house.ended(PATH, 3)
    assert (await team.environment()).active == 1


async def test_a_text_that_was_never_built_is_built_though_it_was_asked_for_before(
    house: House,
) -> None:
    team = await Sourced.make(house)
    house.requests.failures[b"numpy 1"] = "nothing provides it"
    await team.put("numpy 1")
    assert (await house.ended(PATH, 1)).state == "failed"
    await team.put("numpy 2")
    await team.put("numpy 1")
    assert await team.states() == ["failed", "cancelled", "queued"]


async def test_a_broken_text_is_told_of_once_and_its_environment_stays_as_it_is(
    house: House,
) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    for sentence in ("broken: line 3", "broken: line 3", "broken: line 4"):
        file = await team.put(sentence)
        assert (file.problem, file.environment) == (sentence, PATH)
    managed = await team.managed()
    assert managed is not None
    assert managed.problem == "broken: line 4"
    assert ((await team.environment()).active, len(await team.versions())) == (1, 1)
    assert (await team.sources.get(team.source.id)).problems == 1
    await team.put("numpy 1")
    events = await team.events("source.failed", "source.recovered")
    assert [event.action for event in events] == ["source.failed", "source.recovered"]
    assert [event.detail["path"] for event in events] == [FILE, FILE]
    assert [event.environment for event in events] == ["forecast", "forecast"]
    assert len(await team.versions()) == 1, "the text is that of before"
    assert (await team.file()).problem == ""


async def test_a_file_that_is_broken_from_the_beginning_makes_no_environment(house: House) -> None:
    team = await Sourced.make(house)
    file = await team.put("broken")
    assert (file.environment, file.sha256) == (None, "")
    with pytest.raises(EnvironmentUnknown):
        await team.environment()
    (event,) = await team.events("source.failed")
    assert (event.namespace, event.environment) == ("analytics", None)
    await team.put("numpy 1")
    assert (await team.file()).environment == PATH


async def test_what_whoever_looks_cannot_use_is_shown_on_the_environment_too(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.files.fail(team.source.id, FILE, "it is a link to /etc/shadow, which is elsewhere")
    managed = await team.managed()
    assert managed is not None
    assert "elsewhere" in managed.problem
    # Long, or with what no column holds: it is kept all the same.
    file = await team.files.fail(team.source.id, FILE, "odd\0\ud800" + "x" * 9000)
    assert 1000 < len(file.problem) < 3000


async def test_one_broken_file_stops_no_other(house: House) -> None:
    team = await Sourced.make(house)
    await team.put("broken", "bad/environment.yml", "bad")
    await team.built("numpy 1")
    assert (await team.environment()).active == 1
    page = await team.files.list(team.source.id, has_problem=True)
    assert [file.path for file in page.items] == ["bad/environment.yml"]


async def test_an_environment_that_is_edited_here_is_not_taken_over(house: House) -> None:
    await house.follower.start()
    await house.environment(PATH)
    await house.built(PATH, b"numpy 1")
    team = await Sourced.make(house)
    file = await team.put("numpy 2")
    assert "is edited here" in file.problem
    assert await team.managed() is None
    # Its very text is no edit: then the file has it.
    assert (await team.put("numpy 1")).problem == ""
    assert len(await team.versions()) == 1
    assert (await team.put("numpy 2")).problem == ""
    assert await team.states() == ["built", "queued"]


async def test_an_empty_environment_is_taken_over(house: House) -> None:
    await house.follower.start()
    await house.environment(PATH)
    team = await Sourced.make(house)
    assert (await team.put("numpy 2")).problem == ""
    assert await team.managed() is not None


async def test_what_another_source_defines_stays_its_own(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    other = await team.sources.create(ADA, NewSource("other", "remote", "laptop", "analytics"))
    file = await team.files.put(other.id, "x.yml", b"numpy 1", environment="forecast")
    assert "is defined by the source 'team'" in file.problem


async def test_another_file_of_the_source_takes_the_environment_over(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.put("numpy 2", "forecast/pixi.lock")
    await team.gone()
    managed = await team.managed()
    assert managed is not None
    assert managed.path == "forecast/pixi.lock"
    assert list(await team.files.known(team.source.id)) == ["forecast/pixi.lock"]


async def test_a_file_that_means_another_environment_lets_the_one_before_go(house: House) -> None:
    team = await Sourced.make(house, removed="archive")
    await team.built("numpy 1")
    await team.put("numpy 1", environment="weather")
    before = await team.environment()
    assert (before.source_id, before.archived_at is not None) == (None, True)
    assert await team.managed("analytics/weather") is not None


async def test_when_a_file_is_gone_its_environment_is_kept_and_edited_here(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    with pytest.raises(EnvironmentManaged, match=r"by forecast/environment\.yml of"):
        await house.versions.ask(ADA, "analytics", "forecast", b"numpy 2")
    await team.gone()
    await team.gone()
    assert await team.managed() is None
    assert await team.files.known(team.source.id) == {}
    await house.built(PATH, b"numpy 2")
    # It comes back, with the text that it had: that counts again.
    assert (await team.put("numpy 1")).problem == ""
    assert (await team.environment()).active == 1


async def test_when_a_file_is_gone_its_environment_is_archived_until_it_comes_back(
    house: House,
) -> None:
    team = await Sourced.make(house, removed="archive")
    await team.built("numpy 1")
    await team.put("numpy 2")
    await team.gone()
    environment = await team.environment()
    assert environment.archived_at is not None
    assert (environment.active, await team.states()) == (1, ["built", "cancelled"])
    await team.put("numpy 2")
    assert (await team.environment()).archived_at is None
    assert await team.states() == ["built", "cancelled", "queued"]
    actions = await house.actions(PATH)
    assert actions.count("environment.archived") == actions.count("environment.unarchived") == 1


async def test_when_a_file_is_gone_its_environment_is_deleted_until_it_comes_back(
    house: House,
) -> None:
    team = await Sourced.make(house, removed="delete")
    await team.built("numpy 1")
    before = await team.environment()
    await team.gone()
    with pytest.raises(EnvironmentUnknown):
        await team.environment()
    assert await team.put("numpy 1") == await team.file()
    after = await team.environment()
    assert (after.id, after.active, after.deleted_at) == (before.id, 1, None)
    assert len(await team.versions()) == 1


async def test_a_broken_file_that_is_gone_is_no_problem_any_more(house: House) -> None:
    team = await Sourced.make(house)
    await team.put("broken")
    await team.gone()
    events = await team.events("source.failed", "source.recovered")
    assert [event.action for event in events] == ["source.failed", "source.recovered"]
    assert (await team.sources.get(team.source.id)).files == 0
    await team.gone("never/there.yml")


async def test_an_archived_environment_takes_no_text_and_its_file_says_so(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await house.environments.update(ADA, "analytics", "forecast", archived=True)
    file = await team.put("numpy 2")
    assert "is archived" in file.problem
    assert await team.states() == ["built"]
    await house.environments.update(ADA, "analytics", "forecast", archived=False)
    assert (await team.put("numpy 2")).problem == ""
    assert await team.states() == ["built", "queued"]


async def test_a_quota_that_is_used_up_is_the_file_s_problem_and_passes(house: House) -> None:
    team = await Sourced.make(house, limits=Limits(environments=1, builds_a_day=1))
    await team.built("numpy 1")
    assert "1 build today" in (await team.put("numpy 2")).problem
    assert "environment" in (await team.put("numpy 1", "b.yml", "b")).problem
    with pytest.raises(EnvironmentUnknown):
        await team.environment("analytics/b")
    # What was refused is taken when it is handed over again.
    more = await Sourced.make(house, namespace=None, limits=Limits())
    team.files = more.files
    assert (await team.put("numpy 2")).problem == ""
    assert await team.states() == ["built", "queued"]


async def test_more_files_are_taken_than_one_may_ask_for_versions(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queueing, "MAX_OPEN", 2)
    team = await Sourced.make(house)
    for name in "abc":
        file = await team.files.put(
            team.source.id, f"{name}.yml", b"numpy 1", environment=name, actor=ADA
        )
        assert file.problem == ""
    page = await team.files.list(team.source.id, limit=2)
    rest = await team.files.list(team.source.id, limit=2, after=page.next)
    assert [file.path for file in (*page.items, *rest.items)] == ["a.yml", "b.yml", "c.yml"]
    assert rest.next is None


async def test_what_the_source_s_maker_may_not_pull_is_a_problem(house: House) -> None:
    team = await Sourced.make(house)
    assert (await team.put("registry:private/base")).problem == ""
    sent = await team.files.put(
        team.source.id, "b.yml", b"registry:private/base", environment="b", actor=BOB
    )
    assert "'bob' may not pull" in sent.problem


async def test_what_does_not_answer_is_no_problem_of_the_file(house: House) -> None:
    team = await Sourced.make(house)
    team.texts.error = DatabaseUnavailable()
    with pytest.raises(DatabaseUnavailable):
        await team.put("numpy 1")
    assert await team.files.known(team.source.id) == {}


async def test_names_that_no_environment_can_have_are_problems(house: House) -> None:
    team = await Sourced.make(house)
    house.pushed.names.add("analytics/pushed")
    assert "cannot be the name" in (await team.put("numpy 1", "a.yml", "-")).problem
    assert "images were pushed to" in (await team.put("numpy 1", "b.yml", "pushed")).problem
    other = await team.files.put(
        team.source.id, "c.yml", b"numpy 1", environment="c", namespace="elsewhere"
    )
    assert "are all in 'analytics'" in other.problem


async def test_a_path_that_no_file_of_a_source_has_is_refused(house: House) -> None:
    team = await Sourced.make(house)
    for path in ("", "/etc/passwd", "a/../b", "a//b", "./a", "a\0b", "a\nb", "\ud800", "x" * 1001):
        with pytest.raises(SourceInvalid):
            await team.put("numpy 1", path)
        with pytest.raises(SourceInvalid):
            await team.files.fail(team.source.id, path, "no")
        with pytest.raises(SourceInvalid):
            await team.gone(path)


async def test_a_source_without_a_namespace_makes_those_that_its_folders_name(house: House) -> None:
    team = await Sourced.make(house, namespace=None)

    async def put(namespace: str | None) -> Any:
        path = f"{namespace}/a.yml"
        return await team.files.put(
            team.source.id, path, b"numpy 1", environment="a", namespace=namespace
        )

    assert (await put("Data Team")).environment == "data-team/a"
    assert "nothing says in which namespace" in (await put(None)).problem
    assert "the service itself answers" in (await put("api")).problem
    # Who deletes a namespace is not overruled by the folder that is still there.
    await house.namespaces.delete(ADA, "data-team")
    assert "was deleted" in (await put("Data Team")).problem
    await house.namespaces.restore(ADA, "data-team")
    assert (await put("Data Team")).problem == ""


async def test_servers_that_hand_the_same_text_over_at_once_have_it_made_once(
    house: House,
) -> None:
    team = await Sourced.make(house)
    await asyncio.gather(*(team.put("numpy 1") for _ in range(8)))
    assert await team.states() == ["queued"]
    async with house.database.reading() as connection:
        files = await connection.execute(select(func.count()).select_from(tables.source_file))
        assert files.scalar() == 1


async def test_a_source_that_is_deleted_takes_no_file(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.sources.delete(ADA, team.source.id)
    for call in (team.put("numpy 2"), team.gone(), team.files.fail(team.source.id, FILE, "x")):
        with pytest.raises(SourceUnknown):
            await call
    assert await team.managed() is None
    await house.built(PATH, b"numpy 2")


async def test_a_version_that_is_blocked_is_not_made_active_again(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.built("numpy 2")
    await Blocks(house.database).block(ADA, key_of(b"numpy 1"), "it is stolen")
    assert "blocked" in (await team.put("numpy 1")).problem
    assert (await team.environment()).active == 2


async def test_events_of_files_are_told_to_those_who_may_see_the_environment(house: House) -> None:
    team = await Sourced.make(house)
    await team.built("numpy 1")
    await team.put("broken")
    for globs, seen in (((("analytics", "forecast"),), True), ((("analytics", "x"),), False)):
        found = await house.events.list(visible=Visibility(globs), limit=500)
        assert ("source.failed" in [event.action for event in found]) is seen
