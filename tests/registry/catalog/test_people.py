import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import insert

from registry.catalog import grants
from registry.catalog.pointers import pointers_at
from registry.catalog.records import EVERYTHING, GrantRecord, Visibility
from registry.database import tables
from registry.errors import (
    CatalogNameInvalid,
    CatalogNameTaken,
    Denied,
    GrantInvalid,
    GrantUnknown,
    NamespaceUnknown,
    PrincipalUnknown,
    TokenInvalid,
    TokenUnknown,
    TooManyGrants,
)
from tests.registry.catalog.house import ADA, BOB, House

pytestmark = pytest.mark.anyio


async def test_a_role_is_given_replaced_and_taken(house: House) -> None:
    first = await house.grants.give(
        ADA, subject_kind="group", subject="data", namespace_glob="ana*", role="viewer"
    )
    second = await house.grants.give(
        ADA, subject_kind="group", subject="data", namespace_glob="ana*", role="editor"
    )
    assert (await house.grants.list("analytics")).items == [second]
    assert (await house.grants.list("other")).items == []
    assert await house.grants.get(second.id, "analytics") == second
    with pytest.raises(GrantUnknown):
        await house.grants.get(second.id, "other")
    assert house.memory.grants == {second.id: second}
    with pytest.raises(GrantUnknown):
        await house.grants.get(first.id)
    await house.grants.take(ADA, second.id)
    assert house.memory.grants == {}
    with pytest.raises(GrantUnknown):
        await house.grants.take(ADA, second.id)
    assert await house.actions() == ["grant.given", "grant.given", "grant.taken"]


async def test_what_may_not_be_replaced_stays_with_all_that_was_done(house: House) -> None:
    await house.namespaces.create(ADA, "team")
    owner = await house.grants.give(
        ADA, subject_kind="user", subject="eve", namespace_glob="team", role="owner"
    )
    replaced = []

    def refuse(grant: GrantRecord) -> None:
        replaced.append(grant)
        raise Denied("not by you")

    events = await house.events.latest(visible=EVERYTHING)
    with pytest.raises(Denied):
        await house.grants.give(
            BOB,
            subject_kind="user",
            subject="eve",
            namespace_glob="team",
            role="viewer",
            on_replace=refuse,
        )
    assert replaced == [owner]
    assert await house.grants.get(owner.id) == owner
    assert await house.events.latest(visible=EVERYTHING) == events


async def test_a_role_inside_is_given_where_there_is_a_namespace_alone(house: House) -> None:
    await house.namespaces.create(ADA, "team")

    async def give() -> GrantRecord:
        return await house.grants.give(
            ADA,
            subject_kind="user",
            subject="eve",
            namespace_glob="team",
            role="viewer",
            is_inside=True,
        )

    assert (await give()).role == "viewer"
    await house.namespaces.delete(ADA, "team")
    with pytest.raises(NamespaceUnknown):
        await give()


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "king"},
        {"subject": None},
        {"subject_kind": "nobody"},
        {"subject_kind": "everyone"},
        {"subject_kind": "everyone", "subject": None, "role": "editor"},
        {"namespace_glob": ""},
        {"namespace_glob": "A"},
        {"environment_glob": "a/b"},
        {"environment_glob": "*a*b*c*d*"},
        {"role": "administrator", "namespace_glob": "ada"},
        {"subject": "x" * 201},
        {"subject": "\0"},
    ],
)
async def test_what_makes_no_sense_is_not_given(house: House, wrong: dict[str, str]) -> None:
    right = {"subject_kind": "user", "subject": "bob", "namespace_glob": "ada", "role": "viewer"}
    with pytest.raises(GrantInvalid):
        await house.grants.give(ADA, **(right | wrong))  # type: ignore[arg-type] # wrong on purpose


async def test_a_namespace_has_so_many_grants_and_those_that_are_there_are_replaced(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "MAX_GRANTS", 3)

    async def give(subject: str, namespace: str, role: str = "viewer") -> None:
        await house.grants.give(
            ADA, subject_kind="user", subject=subject, namespace_glob=namespace, role=role
        )

    for subject in ("a", "b", "c"):
        await give(subject, "bob")
    with pytest.raises(TooManyGrants, match="'bob' has 3 grants"):
        await give("d", "bob")
    await give("c", "bob", "editor")
    await give("d", "ada")
    for subject in ("a", "b", "c", "d"):
        await give(subject, "*")
    page = await house.grants.list("bob")
    assert [one.subject for one in page.items if one.namespace_glob == "bob"] == ["a", "b", "c"]


async def test_a_glob_with_many_wildcards_that_is_there_already_holds_nobody_up(
    house: House,
) -> None:
    name = "a" * 100
    for environment in (name, "a" * 99 + "b"):
        await house.environment(f"bob/{environment}")
    values = {"subject_kind": "everyone", "subject": "", "namespace_glob": "bob"}
    values |= {"environment_glob": "*a" * 30 + "*b", "role": "viewer", "source": "api"}
    async with house.database.writing() as connection:
        await connection.execute(
            insert(tables.grant).values(**values, created_at=house.database.now())
        )
        found = await pointers_at(connection, [f"bob/{name}", "bob/" + "a" * 99 + "b"])
    assert [pointer and pointer.is_public for pointer in found.values()] == [False, True]


async def test_a_secret_is_shown_once_and_kept_as_a_digest(house: House) -> None:
    made, secret = await house.tokens.create(ADA, "ada", "laptop", scopes=["team/*:pull"])
    assert secret.startswith("pft_")
    assert len(secret) == 47
    assert made.hint == secret[-6:]
    assert (await house.tokens.list("ada")).items == [made]
    assert house.memory.tokens[made.id].sha256 == made.sha256
    assert secret not in repr(made)
    now = house.database.now()
    await house.tokens.used({made.id: now})
    await house.tokens.used({made.id: now + timedelta(minutes=5)})
    assert (await house.tokens.get(made.id)).last_used_at == now
    await house.tokens.revoke(ADA, made.id)
    await house.tokens.revoke(ADA, made.id)
    assert (await house.tokens.list("ada")).items == []
    assert len((await house.tokens.list("ada", include_ended=True)).items) == 1
    assert await house.actions() == ["token.created", "token.revoked"]


async def test_logins_of_browsers_that_ended_are_forgotten_after_a_day(house: House) -> None:
    personal, _ = await house.tokens.create(ADA, "ada", "laptop")
    now = house.database.now()
    made: list[int] = []
    for hours in (1, 72):
        token, _ = await house.tokens.create(
            ADA, "ada", "browser", kind="session", expires_at=now + timedelta(hours=hours)
        )
        made.append(token.id)
    await house.tokens.revoke(ADA, personal.id)
    house.database.now = lambda: now + timedelta(hours=26)
    await house.tokens.forget_sessions()
    await house.tokens.forget_sessions()
    left = (await house.tokens.list("ada", include_ended=True)).items
    assert [one.id for one in left] == [made[1], personal.id]
    await house.follower.settled(1)
    assert set(house.memory.tokens) == {made[1]}


async def test_lists_go_on_page_by_page_and_end(house: House) -> None:
    tokens = [(await house.tokens.create(ADA, "ada", f"t{number}"))[0].id for number in range(5)]
    await house.tokens.create(ADA, "bob", "another")
    given_ones = []
    for number in range(5):
        grant = await house.grants.give(
            ADA, subject_kind="user", subject=f"u{number}", namespace_glob="ada", role="viewer"
        )
        given_ones.append(grant.id)
    found: list[list[int]] = [[], []]
    after: str | None = None
    while True:
        page = await house.tokens.list("ada", after=int(after) if after else None, limit=2)
        found[0] += [one.id for one in page.items]
        after = page.next
        if after is None:
            break
    while True:
        given = await house.grants.list("ada", after=int(after) if after else None, limit=2)
        found[1] += [one.id for one in given.items]
        after = given.next
        if after is None:
            break
    assert found == [tokens[::-1], given_ones]
    whole = await house.grants.list("ada", limit=5)
    assert (len(whole.items), whole.next) == (5, None)
    assert (await house.tokens.list("ada", after=10**18)).items
    assert not (await house.grants.list("ada", after=10**30)).items


async def test_a_token_that_makes_no_sense_is_not_made(house: House) -> None:
    past = house.database.now() - timedelta(seconds=1)
    with pytest.raises(TokenInvalid):
        await house.tokens.create(ADA, "ada", "x", expires_at=past)
    with pytest.raises(TokenInvalid):
        await house.tokens.create(ADA, "ada", " ")
    with pytest.raises(TokenInvalid):
        await house.tokens.create(ADA, "ada", "x", scopes=["nonsense"])
    with pytest.raises(TokenInvalid, match="at most 4 wildcards"):
        await house.tokens.create(ADA, "ada", "x", scopes=["*a*b/*c**d*:pull"])
    for token in (0, 1, 2**70):
        with pytest.raises(TokenUnknown):
            await house.tokens.revoke(ADA, token)


async def test_groups_of_a_provider_are_those_that_it_told_last(house: House) -> None:
    await house.principals.log_in_oidc("https://id", "1", "ada", groups=["a", "b"])
    await house.principals.add_member(BOB, "own", "ada")
    assert await house.principals.groups_of("ada") == ["a", "b", "own"]
    back = await house.principals.log_in_oidc(
        "https://id", "1", "renamed", groups=["b", "c"], email="ada@x.org"
    )
    assert (back.name, back.email) == ("ada", "ada@x.org")
    assert await house.principals.groups_of("ada") == ["b", "c", "own"]
    assert house.memory.groups["ada"] == ("b", "c", "own")
    with pytest.raises(CatalogNameTaken):
        await house.principals.log_in_oidc("https://id", "2", "ada")
    await house.principals.remove_member(BOB, "own", "ada")
    assert sorted(house.memory.groups["ada"]) == ["b", "c"]
    assert [one.name for one in await house.principals.list(search="X.ORG")] == ["ada"]
    with pytest.raises(PrincipalUnknown):
        await house.principals.get("nobody")


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\0b", "\ud800"])
async def test_a_name_that_cannot_be_kept_is_refused(house: House, name: str) -> None:
    with pytest.raises(CatalogNameInvalid):
        await house.principals.create(ADA, name)
    with pytest.raises(CatalogNameInvalid):
        await house.principals.add_member(ADA, name, "ada")
    with pytest.raises(CatalogNameInvalid):
        await house.namespaces.create(ADA, "team", owner=name)
    with pytest.raises(CatalogNameInvalid):
        await house.tokens.create(ADA, name, "laptop")
    with pytest.raises(PrincipalUnknown):
        await house.principals.get(name)
    await house.principals.remove_member(ADA, name, name)
    assert await house.idempotency.begin("ada", name, "digest") is None


async def test_a_request_that_is_sent_twice_is_carried_out_once(house: House) -> None:
    begin = house.idempotency.begin
    assert await begin("ada", "k", "digest") is None
    under_way = await begin("ada", "k", "digest")
    assert under_way is not None
    assert under_way.status == 0
    await house.idempotency.end("ada", "k", 201, b"made")
    kept = await begin("ada", "k", "digest")
    assert kept is not None
    assert (kept.status, kept.body) == (201, b"made")
    assert await begin("bob", "k", "digest") is None
    await house.idempotency.forget("bob", "k")
    assert await begin("bob", "k", "digest") is None


async def test_events_are_seen_by_those_who_see_what_they_are_of(house: House) -> None:
    await house.environment("ada/one")
    await house.environment("ada/two")
    await house.tokens.create(ADA, "ada", "laptop")

    async def seen(*globs: tuple[str, str]) -> list[str | None]:
        events = await house.events.list(visible=Visibility(globs))
        return [event.environment for event in events]

    assert await seen(("ada", "one")) == ["one"]
    assert await seen(("a*", "*")) == [None, "one", "two"]
    assert await seen(("bob", "*")) == []
    newest = await house.events.latest(visible=EVERYTHING, limit=1)
    assert newest[0].action == "token.created"
    assert (newest[0].actor, newest[0].address) == ("ada", "192.0.2.1")


async def test_whoever_gets_a_name_sees_nothing_of_who_had_it_before(house: House) -> None:
    eve = Visibility((("team", "*"),))
    bob = Visibility((("team", "plan"),))
    await house.environment("team/plan")
    await house.built("team/plan", b"one")
    await house.namespaces.delete(ADA, "team")
    for visible in (eve, bob):
        assert await house.events.latest(visible=visible) == []
    await house.namespaces.create(ADA, "team", owner="eve")
    for visible in (eve, EVERYTHING):
        events = await house.events.latest(visible=visible, namespace="team")
        assert [event.action for event in events] == ["namespace.created"]
    assert [event.action for event in await house.events.list(visible=eve)] == ["namespace.created"]
    page = await house.environments.search(eve, namespace="team", include_deleted=True)
    assert page.items == []
    await house.environments.create(ADA, "team", "plan")
    assert await house.actions("team/plan") == ["environment.created"]
    await house.environments.delete(ADA, "team", "plan")
    await house.environments.create(BOB, "team", "plan")
    assert [event.actor for event in await house.events.list(visible=bob)] == ["bob"]
    assert await house.actions("team/plan") == ["environment.created"]
    everything = [event.action for event in await house.events.list(visible=EVERYTHING, limit=90)]
    assert everything.count("namespace.created") == 2


async def test_a_namespace_that_was_deleted_last_is_restored_not_the_newest(house: House) -> None:
    await house.namespaces.create(ADA, "first", owner="ada")
    await house.namespaces.create(ADA, "team", owner="eve")
    await house.namespaces.delete(ADA, "team")
    await house.namespaces.update(ADA, "first", name="team")
    await house.namespaces.delete(ADA, "team")
    assert await house.namespaces.former_owner("team") == "ada"
    assert (await house.namespaces.restore(ADA, "team")).owner == "ada"


async def test_who_follows_is_told_as_soon_as_something_happens(house: House) -> None:
    await house.environment("ada/one")
    following = house.events.follow(
        "ada",
        visible=lambda: EVERYTHING,
        sees=lambda event: event.action != "version.building",
        namespace="ada",
        environment="one",
    )
    telling = asyncio.ensure_future(anext(aiter(following)))
    await asyncio.sleep(0.1)
    await house.built("ada/one", b"numpy")
    told = [event.action for event in await telling]
    while told[-1] != "version.activated":
        told += [event.action for event in await anext(following)]
    assert told == ["version.queued", "version.built", "version.activated"]
    await following.aclose()


async def test_who_comes_again_is_told_what_they_missed_and_then_what_happens(house: House) -> None:
    await house.environment("ada/one")
    await house.environment("ada/two")
    first = await house.events.newest()
    for number in range(3):
        await house.environments.update(ADA, "ada", "one", description=f"{number}")
        await house.environments.update(ADA, "ada", "two", description=f"{number}")
    some = Visibility((("ada", "one"),))
    following = house.events.follow(
        "ada", visible=lambda: some, sees=lambda event: event.environment == "one", after_id=first
    )
    told = list(await anext(following))
    await house.environments.update(ADA, "ada", "two", description="again")
    await house.environments.update(ADA, "ada", "one", description="again")
    async with asyncio.timeout(20):
        told += await anext(following)
    assert [event.environment for event in told] == ["one"] * 4
    assert sorted({event.id for event in told}) == [event.id for event in told]
    await following.aclose()
