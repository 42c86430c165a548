"""Accounts and sessions in memory, which behave as those of the database do."""

import secrets

from registry.auth.oidc import Person
from registry.errors import LoginRefused, NameTaken


class MemoryAccounts:
    """Implements :class:`registry.auth.sessions.Accounts`."""

    def __init__(self, *of_file: str) -> None:
        self.of_file = set(of_file)
        self.people: dict[tuple[str, str], str] = {}
        self.groups: dict[str, set[tuple[str, str]]] = {}
        self.disabled: set[str] = set()

    async def arrive(self, person: Person, address: str) -> str:
        identity = person.issuer, person.subject
        name = self.people.get(identity)
        if name is None:
            if person.name in self.people.values() or person.name in self.of_file:
                raise NameTaken(person.name)
            name = self.people[identity] = person.name
        if name in self.disabled:
            raise LoginRefused("your account is disabled")
        others = {one for one in self.groups.get(name, set()) if one[1] != "oidc"}
        self.groups[name] = others | {(group, "oidc") for group in person.groups}
        return name

    async def arrive_by_password(self, name: str, address: str) -> None:
        assert name in self.of_file


class MemorySessions:
    """Implements :class:`registry.auth.sessions.Sessions`."""

    def __init__(self) -> None:
        self.browsers: dict[str, str] = {}
        self.tokens: dict[str, tuple[str, str]] = {}

    async def open(self, name: str, address: str) -> str:
        secret = "pft_" + secrets.token_urlsafe(32)
        self.browsers[secret] = name
        return secret

    def owner(self, secret: str) -> str | None:
        return self.browsers.get(secret)

    def number(self, secret: str) -> int | None:
        return list(self.browsers).index(secret) if secret in self.browsers else None

    async def close(self, secret: str, address: str) -> None:
        self.browsers.pop(secret, None)

    async def create_token(self, name: str, label: str, address: str) -> str:
        token = "pft_" + secrets.token_urlsafe(32)
        self.tokens[token] = name, label
        return token
