import asyncio
from typing import Any

import pytest

from registry.catalog.ports import LockedPackage
from registry.catalog.records import EVERYTHING, Visibility
from registry.errors import (
    CatalogNameInvalid,
    CatalogNameTaken,
    CatalogTextInvalid,
    CursorInvalid,
    EnvironmentNotDeleted,
    EnvironmentUnknown,
    NamespaceInUse,
    NamespaceUnknown,
    RevisionConflict,
)
from tests.registry.catalog.house import ADA, BOB, House, key_of

pytestmark = pytest.mark.anyio


def package(name: str, version: str) -> LockedPackage:
    return LockedPackage("linux-64", "conda", name, version, "h0_0", "https://c.test/main")


async def test_an_environment_keeps_its_name_and_is_found_by_its_slug(house: House) -> None:
    await house.namespaces.create(ADA, "Data Science", owner="ada")
    made = await house.environments.create(ADA, "data-science", "Forecast 2", description="x")
    assert (made.path, made.name, made.active) == ("data-science/forecast-2", "Forecast 2", None)
    assert await house.environments.get("data-science", "forecast-2") == made
    assert await house.actions("data-science/forecast-2") == ["environment.created"]


async def test_an_environment_of_a_file_is_there_with_its_version_or_not_at_all(
    house: House,
) -> None:
    await house.namespaces.create(ADA, "analytics", owner="ada")
    with pytest.raises(CatalogTextInvalid):
        await house.environments.create_from(ADA, "analytics", "forecast", b"numpy", note="\0")
    with pytest.raises(TypeError):  # after the environment was written
        await house.environments.create_from(ADA, "analytics", "forecast", None)  # type: ignore[arg-type]  # (nothing)
    with pytest.raises(EnvironmentUnknown):
        await house.environments.get("analytics", "forecast")
    made, first = await house.environments.create_from(
        ADA, "analytics", "forecast", b"numpy", note="the first"
    )
    assert (made.path, first.number, first.state, first.note) == (
        *("analytics/forecast", 1, "queued"),
        "the first",
    )
    assert await house.versions.ask(BOB, "analytics", "forecast", b"numpy") == (first, False)
    assert (await house.ended("analytics/forecast", 1)).state == "built"


async def test_two_names_with_one_slug_are_one_name(house: House) -> None:
    await house.environment("analytics/forecast")
    with pytest.raises(CatalogNameTaken):
        await house.environments.create(ADA, "analytics", "Forecast")
    with pytest.raises(CatalogNameTaken):
        await house.namespaces.create(ADA, "Analytics")


@pytest.mark.parametrize(
    "name", ["env", "build", "V2", "", "/", "a/b", "..", "-", "\n", "日本", "a" * 101]
)
async def test_what_cannot_be_pulled_is_no_name(house: House, name: str) -> None:
    with pytest.raises(CatalogNameInvalid):
        await house.namespaces.create(ADA, name)


ODD = ["fore\0cast", "forecast\0", "Forecast", "forecast\n", "\ud800", "a" * 101, "", "%"]


@pytest.mark.parametrize("odd", ODD)
async def test_what_is_no_slug_leads_to_nothing_and_is_written_nowhere(
    house: House, odd: str
) -> None:
    await house.environment("forecast/forecast")
    for gone in (
        house.namespaces.get(odd),
        house.namespaces.delete(ADA, odd),
        house.namespaces.restore(ADA, odd),
        house.environments.create(ADA, odd, "new"),
        house.environments.move(ADA, "forecast", "forecast", odd, "new"),
        house.environments.copy(ADA, "forecast", "forecast", odd, "new"),
        house.environments.restore(ADA, odd, "forecast"),
    ):
        with pytest.raises(NamespaceUnknown):
            await gone
    for missing in (
        house.environments.get("forecast", odd),
        house.environments.get(odd, "forecast"),
        house.environments.update(ADA, "forecast", odd, description="x"),
        house.environments.delete(ADA, "forecast", odd),
        house.environments.restore(ADA, "forecast", odd),
        house.environments.move(ADA, "forecast", odd, "forecast", "new"),
        house.versions.ask(ADA, "forecast", odd, b"x"),
        house.versions.activate(ADA, "forecast", odd, 1),
    ):
        with pytest.raises(EnvironmentUnknown):
            await missing
    page = await house.environments.search(EVERYTHING, namespace=odd)
    assert [one.path for one in page.items] == []
    (kept,) = (await house.environments.search(EVERYTHING)).items
    assert (kept.path, kept.revision) == ("forecast/forecast", 1)


async def test_a_pushed_repository_keeps_its_name(house: House) -> None:
    await house.environment("analytics/forecast")
    house.pushed.names = {"team/app", "analytics/base"}
    with pytest.raises(CatalogNameTaken):
        await house.namespaces.create(ADA, "team")
    with pytest.raises(CatalogNameTaken):
        await house.environments.create(ADA, "analytics", "base")
    with pytest.raises(CatalogNameTaken):
        await house.environments.move(ADA, "analytics", "forecast", "analytics", "base")


async def test_a_namespace_keeps_its_name_as_long_as_it_has_pushed_repositories(
    house: House,
) -> None:
    await house.namespaces.create(ADA, "team", owner="ada")
    house.pushed.names = {"team/deep/app"}
    with pytest.raises(NamespaceInUse):
        await house.namespaces.update(ADA, "team", name="crew")
    with pytest.raises(NamespaceInUse):
        await house.namespaces.delete(ADA, "team")
    with pytest.raises(NamespaceUnknown):
        await house.namespaces.delete(ADA, "crew")
    changed = await house.namespaces.update(ADA, "team", name="Team", description="x")
    assert (changed.name, changed.slug, changed.description) == ("Team", "team", "x")
    house.pushed.names.clear()
    await house.namespaces.update(ADA, "team", name="crew")
    await house.namespaces.delete(ADA, "crew")


async def test_pages_have_everything_once(house: House) -> None:
    await house.namespaces.create(ADA, "a")
    for number in range(7):
        await house.environments.create(ADA, "a", f"e{number}")
    found, after = [], None
    while True:
        page = await house.environments.search(EVERYTHING, after=after, limit=3)
        found += [one.slug for one in page.items]
        after = page.next
        if after is None:
            break
    assert found == [f"e{number}" for number in range(7)]
    with pytest.raises(CursorInvalid):
        await house.environments.search(EVERYTHING, after="?")


async def test_a_search_finds_what_can_be_seen_by_name_and_description(house: House) -> None:
    await house.environment("analytics/forecast")
    await house.environment("analytics/100_percent")
    await house.environment("secret/forecast")
    await house.environments.update(ADA, "analytics", "forecast", description="Für Ärzte")

    async def found(visible: Visibility, **more: Any) -> list[str]:
        return [one.path for one in (await house.environments.search(visible, **more)).items]

    assert await found(EVERYTHING, search="ÄRZTE") == ["analytics/forecast"]
    assert await found(EVERYTHING, search="0_p") == ["analytics/100_percent"]
    assert await found(EVERYTHING, search="%") == []
    assert await found(EVERYTHING, search="forecast\0") == ["analytics/forecast", "secret/forecast"]
    assert await found(EVERYTHING, namespace="secret") == ["secret/forecast"]
    assert await found(Visibility()) == []
    assert await found(Visibility((("analytics", "f*"),))) == ["analytics/forecast"]
    assert await found(Visibility((("*", "forecast"),))) == [
        "analytics/forecast",
        "secret/forecast",
    ]
    assert await found(Visibility((("secret", "forecast"), ("x", "*")))) == ["secret/forecast"]


async def test_namespaces_are_seen_by_what_can_be_seen_in_them(house: House) -> None:
    await house.environment("analytics/forecast")
    await house.environment("secret/plan")
    await house.namespaces.create(ADA, "empty")

    async def found(visible: Visibility) -> list[str]:
        return [one.slug for one in (await house.namespaces.list(visible)).items]

    assert await found(EVERYTHING) == ["analytics", "empty", "secret"]
    assert await found(Visibility((("*", "plan"),))) == ["secret"]
    assert await found(Visibility((("e*", "*"),))) == ["empty"]
    assert await found(Visibility(namespaces=("empty",))) == ["empty"]
    assert await found(Visibility()) == []


async def test_who_has_a_package_is_found_by_the_active_version(house: House) -> None:
    old, new = b"openssl 3.1", b"openssl 3.2"
    house.packages = {
        key_of(old): [package("openssl", "3.1.0"), package("zlib", "1.3")],
        key_of(new): [package("openssl", "3.2.0")],
    }
    for path in ("a/one", "a/two"):
        await house.environment(path)
        await house.built(path, old)
    await house.built("a/two", new)

    async def found(name: str, version: str | None = None) -> list[str]:
        page = await house.environments.search(EVERYTHING, package=name, version=version)
        return [one.slug for one in page.items]

    assert await found("openssl", "3.2.0") == ["two"]
    assert await found("openssl") == ["one", "two"]
    assert await found("OpenSSL", "3.1.0") == ["one"]
    assert await found("zlib") == ["one"]
    assert await found("curl") == []
    await house.versions.activate(ADA, "a", "two", 1)
    assert await found("openssl", "3.2.0") == []


async def test_a_change_is_refused_that_does_not_know_the_one_before(house: House) -> None:
    made = await house.environment()
    changed = await house.environments.update(
        ADA, "analytics", "forecast", revision=made.revision, description="one"
    )
    assert changed.revision > made.revision
    with pytest.raises(RevisionConflict) as refused:
        await house.environments.update(
            BOB, "analytics", "forecast", revision=made.revision, description="two"
        )
    assert refused.value.revision == changed.revision
    with pytest.raises(CatalogTextInvalid):
        await house.environments.update(ADA, "analytics", "forecast", description="\0")


async def test_what_moves_keeps_its_versions_and_leaves_nothing_behind(house: House) -> None:
    await house.environment("ada/notebook")
    version = await house.built("ada/notebook", b"numpy")
    await house.namespaces.create(ADA, "analytics")
    moved = await house.environments.move(ADA, "ada", "notebook", "analytics", "Notes")
    assert (moved.path, moved.active) == ("analytics/notes", 1)
    with pytest.raises(EnvironmentUnknown):
        await house.environments.get("ada", "notebook")
    assert set(house.memory.pointers) == {"analytics/notes"}
    assert house.memory.pointers["analytics/notes"].active == version.key
    with pytest.raises(NamespaceUnknown):
        await house.environments.move(ADA, "analytics", "notes", "nowhere", "x")


async def test_what_moves_to_where_it_is_keeps_the_roles_on_it(house: House) -> None:
    await house.environment("analytics/forecast")
    grant = await house.grants.give(
        ADA,
        subject_kind="user",
        subject="bob",
        namespace_glob="analytics",
        environment_glob="forecast",
        role="editor",
    )
    moved = await house.environments.move(ADA, "analytics", "forecast", "analytics", "Forecast")
    assert (moved.path, moved.name) == ("analytics/forecast", "Forecast")
    assert await house.grants.get(grant.id) == grant
    again = await house.environments.move(ADA, "analytics", "forecast", "analytics", "Forecast")
    assert again == moved
    actions = await house.actions("analytics/forecast")
    assert actions == ["environment.created", "grant.given", "environment.updated"]


async def test_a_copy_begins_with_the_active_version(house: House) -> None:
    await house.environment("ada/notebook")
    await house.built("ada/notebook", b"numpy 1")
    version = await house.built("ada/notebook", b"numpy 2")
    copy = await house.environments.copy(BOB, "ada", "notebook", "ada", "other")
    assert copy.active == 1
    first = await house.versions.get("ada", "other", 1)
    assert (first.key, first.state, first.reason) == (version.key, "built", "copy")
    assert await house.versions.specification("ada", "other", 1) == b"numpy 2"
    await house.built("ada/other", b"numpy 3")
    assert (await house.environments.get("ada", "other")).active == 2


async def test_what_is_deleted_can_be_restored_unless_its_name_is_taken(house: House) -> None:
    await house.environment("ada/notebook")
    version = await house.built("ada/notebook", b"numpy")
    await house.environments.delete(ADA, "ada", "notebook")
    assert house.memory.pointers == {}
    with pytest.raises(EnvironmentUnknown):
        await house.versions.list("ada", "notebook")
    page = await house.environments.search(EVERYTHING, include_deleted=True)
    assert [one.deleted_at is not None for one in page.items] == [True]
    await house.environments.create(ADA, "ada", "notebook")
    with pytest.raises(CatalogNameTaken):
        await house.environments.restore(ADA, "ada", "notebook")
    await house.environments.update(ADA, "ada", "notebook", name="newer")
    restored = await house.environments.restore(ADA, "ada", "notebook")
    assert restored.active == 1
    assert house.memory.pointers["ada/notebook"].versions == {1: version.key}
    with pytest.raises(EnvironmentNotDeleted, match="'ada/notebook' is not deleted: there is noth"):
        await house.environments.restore(ADA, "ada", "notebook")
    with pytest.raises(EnvironmentUnknown):
        await house.environments.restore(ADA, "ada", "never")


async def test_a_namespace_goes_and_comes_back_with_what_was_in_it(house: House) -> None:
    await house.environment("ada/one")
    await house.environment("ada/two")
    await house.environments.delete(ADA, "ada", "two")
    await house.namespaces.delete(ADA, "ada")
    assert (house.memory.pointers, house.memory.namespaces) == ({}, set())
    with pytest.raises(NamespaceUnknown):
        await house.namespaces.get("ada")
    await house.namespaces.restore(ADA, "ada")
    assert set(house.memory.pointers) == {"ada/one"}
    assert house.memory.namespaces == {"ada"}


async def test_a_renamed_namespace_takes_environments_and_roles_with_it(house: House) -> None:
    await house.environment("ada/one")
    await house.built("ada/one", b"numpy")
    await house.grants.give(
        ADA, subject_kind="user", subject="bob", namespace_glob="ada", role="viewer"
    )
    renamed = await house.namespaces.update(ADA, "ada", name="Lovelace", owner="bob")
    assert (renamed.slug, renamed.owner) == ("lovelace", "bob")
    assert set(house.memory.pointers) == {"lovelace/one"}
    assert house.memory.namespaces == {"lovelace"}
    roles = {(one.subject, one.namespace_glob, one.role) for one in house.memory.grants.values()}
    assert roles == {("bob", "lovelace", "viewer"), ("bob", "lovelace", "owner")}
    assert (await house.environments.search(EVERYTHING, search="lovelace/one")).items


async def test_a_renamed_namespace_leaves_descriptions_as_they_are(house: House) -> None:
    await house.namespaces.create(ADA, "a")
    await house.environments.create(ADA, "a", "x", description="reads data/raw and a/x")
    await house.namespaces.update(ADA, "a", name="zoo")
    for text, is_found in (("data/raw", True), ("zoo/x", True), ("datzoo", False), ("A/X", True)):
        found = (await house.environments.search(EVERYTHING, search=text)).items
        assert bool(found) == is_found, text


async def test_a_namespace_of_a_name_that_was_had_before_inherits_no_roles(house: House) -> None:
    await house.environment("team/one")
    for glob in ("*", "one"):
        await house.grants.give(
            ADA,
            subject_kind="user",
            subject="bob",
            namespace_glob="team",
            environment_glob=glob,
            role="editor",
        )
    await house.namespaces.delete(ADA, "team")
    await house.namespaces.create(BOB, "team", owner="eve")
    assert [one.subject for one in (await house.grants.list("team")).items] == ["eve"]
    await house.namespaces.delete(BOB, "team")
    await house.namespaces.restore(ADA, "team")
    assert [one.subject for one in (await house.grants.list("team")).items] == ["eve"]


async def test_what_somebody_has_changed_meanwhile_is_not_deleted(house: House) -> None:
    environment = await house.environment("ada/notebook")
    namespace = await house.namespaces.get("ada")
    changed = await house.environments.update(ADA, "ada", "notebook", description="x")
    await house.namespaces.update(ADA, "ada", description="x")
    with pytest.raises(RevisionConflict):
        await house.environments.delete(ADA, "ada", "notebook", revision=environment.revision)
    with pytest.raises(RevisionConflict):
        await house.namespaces.delete(ADA, "ada", revision=namespace.revision)
    assert await house.environments.get("ada", "notebook") == changed
    await house.environments.delete(ADA, "ada", "notebook", revision=changed.revision)
    await house.namespaces.delete(ADA, "ada", revision=namespace.revision + 1)


async def test_of_a_change_and_a_deletion_by_one_revision_one_is_done(house: House) -> None:
    environment = await house.environment("ada/notebook")
    outcomes = await asyncio.gather(
        house.environments.update(
            ADA, "ada", "notebook", description="kept", revision=environment.revision
        ),
        house.environments.delete(BOB, "ada", "notebook", revision=environment.revision),
        return_exceptions=True,
    )
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], RevisionConflict | EnvironmentUnknown)
