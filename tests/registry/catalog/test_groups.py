"""Administrators, people and groups as the database keeps them."""

import asyncio
from datetime import timedelta

import pytest

from registry.auth.policy import Identity, Policy
from registry.auth.rights import parse_right
from registry.auth.secret import hash_secret
from registry.catalog.administrators import Administrators
from registry.catalog.grants import Grants
from registry.catalog.groups import Groups
from registry.catalog.people import People
from registry.catalog.principals import Principals
from registry.catalog.records import Actor
from registry.errors import GroupHasRoles, GroupUnknown, LastAdministrator, PrincipalUnknown
from tests.registry.accounts import HASH
from tests.registry.catalog.house import ADA, House

pytestmark = pytest.mark.anyio

ALL = (parse_right("**:*"),)


class Office:
    """What administrators use, over an auth file that changes."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.policy = Policy()
        settled = house.follower.settled
        self.administrators = Administrators(house.database, lambda: self.policy)
        self.principals = Principals(house.database, settled, self.administrators)
        self.people = People(house.database, self.principals, lambda: self.policy)
        self.groups = Groups(house.database, settled, self.administrators)
        self.grants = Grants(house.database, settled, self.administrators)

    def write(self, *identities: Identity) -> None:
        """Have the auth file say that."""
        self.policy = Policy(identities={one.name: one for one in identities})

    async def promote(self, kind: str, name: str, days: int | None = None) -> int:
        ends = self.house.database.now() + timedelta(days=days) if days is not None else None
        grant = await self.grants.give(
            ADA,
            subject_kind=kind,  # type: ignore[arg-type] # one of two
            subject=name,
            namespace_glob="*",
            role="administrator",
            expires_at=ends,
        )
        return grant.id

    async def names(self) -> set[str]:
        async with self.house.database.reading() as connection:
            return await self.administrators.names(connection)


@pytest.fixture
def office(house: House) -> Office:
    return Office(house)


async def test_who_administers_is_known_from_file_grants_and_groups(
    house: House, office: Office
) -> None:
    soon = house.database.now() + timedelta(days=1)
    office.write(
        Identity("root", HASH, ALL),
        Identity("gone", HASH, ALL, house.database.now() - timedelta(days=1)),
        Identity("later", HASH, ALL, soon),
        Identity("weak", HASH, (parse_right("team/*:*"),)),
        Identity("machine", hash_secret("pft_x"), ALL),
    )
    assert await office.names() == {"root", "later"}
    await house.principals.create(ADA, "eve")
    await house.principals.create(ADA, "mia")
    await house.principals.create(ADA, "nodes", kind="robot")
    await house.principals.create(ADA, "old", source="file")
    for name in ("eve", "nodes", "old", "unborn"):
        await office.promote("user", name)
    await house.principals.add_member(ADA, "it", "mia")
    await office.promote("group", "it")
    assert await office.names() == {"root", "later", "eve", "mia"}
    await office.principals.set_disabled(ADA, "eve", is_disabled=True)
    await office.people.set_disabled(ADA, "later", is_disabled=True)
    assert await office.names() == {"root", "mia"}


async def test_the_last_one_is_neither_disabled_nor_demoted_nor_taken_out(
    house: House, office: Office
) -> None:
    await house.principals.create(ADA, "mia")
    await office.principals.add_member(ADA, "it", "mia")
    grant = await office.promote("group", "it")
    before = await house.actions()
    with pytest.raises(LastAdministrator, match="'mia' is the last administrator"):
        await office.people.set_disabled(ADA, "mia", is_disabled=True)
    with pytest.raises(LastAdministrator):
        await office.principals.remove_member(ADA, "it", "mia")
    with pytest.raises(LastAdministrator):
        await office.grants.take(ADA, grant)
    with pytest.raises(LastAdministrator):
        await office.grants.give(
            ADA, subject_kind="group", subject="it", namespace_glob="*", role="auditor"
        )
    with pytest.raises(GroupHasRoles):
        await office.groups.delete(ADA, "it")
    assert await house.actions() == before
    assert (await office.people.get("mia")).disabled_at is None
    await house.principals.create(ADA, "eve")
    await office.promote("user", "eve")
    await office.people.set_disabled(ADA, "mia", is_disabled=True)
    await office.principals.remove_member(ADA, "it", "mia")
    await office.grants.take(ADA, grant)
    await office.groups.delete(ADA, "it")
    with pytest.raises(GroupUnknown):
        await office.groups.get("it")


async def test_of_those_who_disable_each_other_at_once_one_is_left(
    house: House, office: Office
) -> None:
    names = ("a", "b", "c")
    for name in names:
        await house.principals.create(ADA, name)
        await office.promote("user", name)
    tries = [
        office.people.set_disabled(Actor(one), names[number - 1], is_disabled=True)
        for number, one in enumerate(names)
    ]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, LastAdministrator) for one in ended) == 1, ended
    assert len(await office.names()) == 1


async def test_a_login_ends_for_good_and_a_token_if_that_is_said(
    house: House, office: Office
) -> None:
    await house.principals.create(ADA, "eve")
    ends = house.database.now() + timedelta(hours=1)
    browser, _ = await house.tokens.create(ADA, "eve", "browser", kind="session", expires_at=ends)
    laptop, _ = await house.tokens.create(ADA, "eve", "laptop")
    other, _ = await house.tokens.create(ADA, "bob", "laptop")
    await office.people.set_disabled(ADA, "eve", is_disabled=True)
    assert house.memory.disabled == {"eve"}
    assert house.memory.tokens.keys() == {laptop.id, other.id}
    await office.people.set_disabled(ADA, "eve", is_disabled=False)
    assert house.memory.disabled == set()
    assert (await house.tokens.get(browser.id)).revoked_at is not None
    await office.people.set_disabled(ADA, "eve", is_disabled=True, ends_tokens=True)
    assert house.memory.tokens.keys() == {other.id}
    actions = await house.actions()
    await office.people.set_disabled(ADA, "eve", is_disabled=True, ends_tokens=True)
    assert await house.actions() == actions
    with pytest.raises(PrincipalUnknown):
        await office.people.set_disabled(ADA, "nobody", is_disabled=True)


async def test_people_of_the_file_are_listed_among_those_of_the_database(
    house: House, office: Office
) -> None:
    of_file = [f"f{number:03}" for number in range(12)]
    office.write(*(Identity(name, HASH, ()) for name in of_file))
    of_database = [f"d{number:03}" for number in range(5)] + ["f005", "f005a", "Z", "é"]
    for name in of_database:
        await house.principals.create(ADA, name, source="file" if name == "f005" else "database")
    found: list[str] = []
    after = None
    while True:
        page = await office.people.list(after=after, limit=4)
        found += [one.name for one in page.items]
        after = page.next
        if after is None:
            break
    assert found == sorted({*of_file, *of_database})
    page = await office.people.list(search="005")
    assert [(one.name, one.is_in_file) for one in page.items] == [("f005", True), ("f005a", False)]
