from dataclasses import replace

import pytest

from registry.auth.oidc import Person
from registry.auth.sessions import Accounts, Sessions
from registry.catalog.accounts import CatalogAccounts, CatalogSessions
from registry.errors import LoginRefused, NameTaken
from tests.registry.catalog.house import ADA, House

pytestmark = pytest.mark.anyio
PERSON = Person("https://id", "1", "bob", groups=frozenset({"data"}))


async def test_people_arrive_under_a_name_that_is_theirs(house: House) -> None:
    accounts: Accounts = CatalogAccounts(house.principals, lambda: {"root"})
    assert await accounts.arrive(PERSON, "192.0.2.1") == "bob"
    assert await accounts.arrive(replace(PERSON, name="robert"), "") == "bob"
    assert await house.principals.groups_of("bob") == ["data"]
    with pytest.raises(NameTaken):
        await accounts.arrive(replace(PERSON, subject="2"), "")
    with pytest.raises(NameTaken):
        await accounts.arrive(replace(PERSON, subject="2", name="root"), "")
    await house.principals.set_disabled(ADA, "bob", is_disabled=True)
    with pytest.raises(LoginRefused):
        await accounts.arrive(PERSON, "")


async def test_users_of_the_file_get_an_account(house: House) -> None:
    accounts: Accounts = CatalogAccounts(house.principals)
    for _ in range(2):
        await accounts.arrive_by_password("ada", "192.0.2.1")
    assert (await house.principals.get("ada")).source == "file"
    await house.principals.set_disabled(ADA, "ada", is_disabled=True)
    with pytest.raises(LoginRefused):
        await accounts.arrive_by_password("ada", "")


async def test_a_browser_is_known_until_it_logs_out(house: House) -> None:
    def owner(sha256: str) -> tuple[str, int] | None:
        for token in house.memory.tokens.values():
            if token.sha256 == sha256 and token.kind == "session":
                return token.principal, token.id
        return None

    sessions: Sessions = CatalogSessions(house.database, house.tokens, owner)
    secret = await sessions.open("ada", "192.0.2.1")
    assert sessions.owner(secret) == "ada"
    assert sessions.owner("pft_nonsense") is None
    token = await sessions.create_token("ada", "laptop", "")
    assert sessions.owner(token) is None
    await sessions.close(secret, "")
    await sessions.close(secret, "")
    assert sessions.owner(secret) is None
