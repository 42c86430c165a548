import asyncio

import pytest
from sqlalchemy import update

from registry.catalog.blocks import Blocks
from registry.catalog.follower import Follower
from registry.catalog.policies import Policies
from registry.database import Database, tables
from registry.errors import (
    BlockUnknown,
    BuildUnknown,
    NamespaceUnknown,
    PolicyInFile,
    PolicyTextInvalid,
    PolicyUnknown,
    RevisionConflict,
)
from registry.policy.book import PolicyBook
from registry.policy.policy import read_policy
from tests.registry.catalog.house import ADA, BOB, House, Memory

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

NO_PAD = '[packages]\ndenied = ["left-pad"]\n'
SMALL = "[limits]\npackages = 50\n"
KEY = "ab" * 16


class Blocked:
    """What a server knows to be blocked."""

    def __init__(self, *known: str) -> None:
        self.reasons = dict.fromkeys(known, "as the store says")

    def put(self, key: str, reason: str) -> None:
        self.reasons[key] = reason

    def remove(self, key: str) -> None:
        self.reasons.pop(key, None)

    def keys(self) -> frozenset[str]:
        return frozenset(self.reasons)


def names(book: PolicyBook) -> list[tuple[str | None, str, int]]:
    return [(one.namespace, one.name, one.version) for one in book.policies()]


async def test_a_policy_that_one_server_sets_is_known_to_all_when_it_returns(house: House) -> None:
    other = House(house.database, "two")
    await other.follower.start()
    following = asyncio.create_task(other.follower.run())
    try:
        await house.follower.start()
        policies = Policies(house.database, house.book, house.follower.settled)
        await policies.set(ADA, "company", NO_PAD)
        assert names(house.book) == names(other.book) == [(None, "company", 1)]
        await policies.set(BOB, "company", SMALL)
        assert names(other.book) == [(None, "company", 2)]
        await policies.delete(ADA, "company")
        assert names(house.book) == names(other.book) == []
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    late = House(house.database, "three")
    await policies.set(ADA, "company", NO_PAD)
    await late.follower.start()
    assert names(late.book) == [(None, "company", 3)]


async def test_a_namespaces_own_policy_goes_with_it_and_with_nobody_else(house: House) -> None:
    await house.follower.start()
    await house.environment("ada/one")
    policies = Policies(house.database, house.book, house.follower.settled)
    await policies.set(ADA, "own", NO_PAD, namespace="ada")
    assert names(house.book) == [("ada", "own", 1)]
    assert house.book.rules("ada").denied
    assert not house.book.rules("bob").denied
    await house.namespaces.update(ADA, "ada", name="lab")
    assert names(house.book) == [("lab", "own", 1)]
    await house.namespaces.create(BOB, "ada", owner="bob")
    assert not house.book.rules("ada").denied
    await house.namespaces.delete(ADA, "lab")
    assert names(house.book) == []
    await house.namespaces.restore(ADA, "lab")
    assert names(house.book) == [("lab", "own", 1)]
    with pytest.raises(NamespaceUnknown):
        await policies.set(ADA, "own", NO_PAD, namespace="nobody")
    with pytest.raises(PolicyUnknown):
        await policies.delete(ADA, "own", namespace="ada")


async def test_what_cannot_be_used_changes_nothing(house: House) -> None:
    await house.follower.start()
    policies = Policies(house.database, house.book, house.follower.settled)
    await policies.set(ADA, "company", NO_PAD)
    for text in ("[packages", '[packages]\ndenied = ["numpy >>1"]', "nothing = 1", "x" * 300_000):
        with pytest.raises(PolicyTextInvalid):
            await policies.set(ADA, "company", text)
    for name in ("own", "test", "a b", "", "x" * 65):
        with pytest.raises(PolicyTextInvalid):
            await policies.set(ADA, name, NO_PAD)
    with pytest.raises(RevisionConflict):
        await policies.set(ADA, "company", SMALL, version=7)
    with pytest.raises(RevisionConflict):
        await policies.set(ADA, "new", SMALL, version=1)
    house.book.put_files({"filed": read_policy("filed", SMALL)})
    with pytest.raises(PolicyInFile):
        await policies.set(ADA, "filed", NO_PAD)
    with pytest.raises(PolicyInFile):
        await policies.delete(ADA, "filed")
    assert (await policies.get("company")).text == NO_PAD
    assert (await house.actions()).count("policy.set") == 1


async def test_a_policy_that_a_newer_program_has_set_is_told_and_what_was_before_holds(
    house: House, database: Database
) -> None:
    await house.follower.start()
    policies = Policies(database, house.book, house.follower.settled)
    await policies.set(ADA, "company", NO_PAD)
    async with database.writing() as connection:
        newer = update(tables.policy).values(text="[colours]\nallowed = ['red']", version=2)
        await connection.execute(newer)
    await policies.set(ADA, "other", SMALL)  # has this server look
    await house.follower._loading.policies_again(database, [("policy", "1")])
    assert names(house.book) == [(None, "company", 1), (None, "other", 1)]
    (problem,) = house.book.problems()
    assert problem.file == "company.toml"


async def test_what_the_store_said_is_blocked_is_let_go_if_the_database_says_so(
    database: Database,
) -> None:
    memory, blocked = Memory(), Blocked("cd" * 16)
    follower = Follower(database, memory, memory, "one", blocks=blocked)
    blocks = Blocks(database, follower.settled)
    await blocks.block(ADA, KEY, "it has a backdoor")
    await follower.start()
    assert blocked.reasons == {KEY: "it has a backdoor"}
    await blocks.block(BOB, KEY, "it has two")
    assert blocked.reasons == {KEY: "it has two"}
    await blocks.unblock(ADA, KEY)
    assert blocked.reasons == {}
    with pytest.raises(BlockUnknown):
        await blocks.unblock(ADA, KEY)
    with pytest.raises(BuildUnknown):
        await blocks.block(ADA, "no key", "why")


async def test_blocks_are_listed_in_pages_and_told_with_before_and_after(house: House) -> None:
    blocks = Blocks(house.database)
    keys = [f"{number:032x}" for number in range(5)]
    for key in keys:
        await blocks.block(ADA, key, "why")
    page = await blocks.list(limit=3)
    rest = await blocks.list(limit=3, after=page.next)
    assert [one.key for one in (*page.items, *rest.items)] == keys
    assert rest.next is None
    await blocks.block(ADA, keys[0], "why else")
    await blocks.unblock(BOB, keys[0])
    events = [one for one in await house.events.after(0, 100) if one.detail["key"] == keys[0]]
    told = [(one.actor, one.detail["before"], one.detail["after"]) for one in events]
    assert told == [
        ("ada", {}, {"reason": "why"}),
        ("ada", {"reason": "why", "blocked_by": "ada"}, {"reason": "why else"}),
        ("bob", {"reason": "why else", "blocked_by": "ada"}, {}),
    ]
