"""What is changed by editing files is told once, by whichever server sees it first."""

from collections.abc import Sequence
from typing import Any

import pytest

from registry.auth.policy import Policy as AuthPolicy
from registry.auth.rights import parse_pattern
from registry.catalog.audit import Audit, AuditFilter
from registry.catalog.file_events import FileEvents
from registry.catalog.records import Event
from registry.database import Database
from registry.policy.policy import Policy, read_policy
from tests.registry.accounts import HASH, policy_of, quick_hash, user

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

EMPTY = AuthPolicy()


class Files:
    """What is in files at the moment, as all servers read it."""

    def __init__(self) -> None:
        self.auth = EMPTY
        self.policies: list[Policy] = []

    def write(self, name: str, text: str) -> None:
        kept = [one for one in self.policies if one.name != name]
        self.policies = [*kept, read_policy(name, text)]

    def server(self, database: Database) -> FileEvents:
        return FileEvents(database, lambda: self.auth, lambda: self.policies)


async def told(database: Database, action: str) -> Sequence[Event]:
    page = await Audit(database).page(AuditFilter(action=action), is_oldest_first=True)
    return page.items


async def details(database: Database, action: str) -> list[dict[str, Any]]:
    return [dict(one.detail) for one in await told(database, action)]


async def test_accounts_of_the_auth_file_are_told_without_secrets(database: Database) -> None:
    files = Files()
    one, two = files.server(database), files.server(database)
    for server in (one, two):
        await server.look()
    assert await told(database, "*") == []
    files.auth = policy_of(user("ada", "team/*:pull"))
    await one.look()
    await two.look()
    files.auth = policy_of(user("ada", "team/*:pull,push"), user("bob"))
    await two.look()
    await one.look()
    first, second = await details(database, "accounts.changed")
    assert first["after"]["ada"]["rights"] == ["team/*:pull"]
    assert first["before"] == {"ada": None}
    assert second["before"]["ada"]["rights"] == ["team/*:pull"]
    assert second["after"]["ada"]["rights"] == ["team/*:pull,push"]
    assert (second["before"]["bob"], second["accounts"]) == (None, 2)
    assert HASH not in str(second)


async def test_a_password_that_was_changed_is_told_and_not_shown(database: Database) -> None:
    files = Files()
    files.auth = policy_of(user("ada"))
    server = files.server(database)
    await server.look()
    hashed = quick_hash("another one")
    files.auth = policy_of(user("ada", hashed=hashed))
    await server.look()
    _, changed = await details(database, "accounts.changed")
    assert changed["before"]["ada"]["login"] != changed["after"]["ada"]["login"]
    assert changed["before"]["ada"]["rights"] == changed["after"]["ada"]["rights"]
    assert hashed not in str(changed)


async def test_what_is_private_is_told(database: Database) -> None:
    files = Files()
    files.auth = policy_of(user("ada"))
    server = files.server(database)
    await server.look()
    files.auth = policy_of(user("ada"), private=("team/**",))
    assert parse_pattern("team/**") in files.auth.private
    await server.look()
    _, changed = await details(database, "accounts.changed")
    assert changed["after"] == {"private": {"private": ["team/**"]}}


async def test_a_file_that_was_changed_while_no_server_ran_is_told(database: Database) -> None:
    files = Files()
    files.auth = policy_of(user("ada"))
    files.write("company", "[licences]\ndenied = ['GPL-3.0-*']\n")
    await files.server(database).look()
    await files.server(database).look()
    assert [one.action for one in await told(database, "*")] == ["accounts.changed", "policy.set"]
    files.auth = policy_of(user("eve", "**:*"))
    files.policies = []
    await files.server(database).look()
    actions = [one.action for one in await told(database, "*")]
    assert actions[2:] == ["accounts.changed", "policy.deleted"]


async def test_policies_in_files_are_told_with_what_they_said(database: Database) -> None:
    files = Files()
    one, two = files.server(database), files.server(database)
    texts = ["mode = 'warn'\n", "mode = 'enforce'\n"]
    for text in texts:
        files.write("company", text)
        await one.look()
        await two.look()
    files.policies = []
    await two.look()
    await one.look()
    first, second = await details(database, "policy.set")
    (deleted,) = await details(database, "policy.deleted")
    assert (first["before"], first["after"]["text"]) == ({}, texts[0])
    assert (second["before"]["text"], second["after"]["text"]) == (texts[0], texts[1])
    assert (deleted["before"]["text"], deleted["after"]) == (texts[1], {})
    events = await told(database, "policy.*")
    assert {(one.actor, one.via) for one in events} == {(None, "service")}
