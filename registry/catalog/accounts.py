"""What logging in with a browser needs, kept in the database."""

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta

from registry.auth.oidc import Person
from registry.auth.sessions import SESSION_SECONDS
from registry.catalog.principals import Principals
from registry.catalog.records import Actor, Principal
from registry.catalog.tokens import TokenStore, digest_of
from registry.database import Database
from registry.errors import CatalogNameTaken, LoginRefused, NameTaken, PrincipalUnknown


class CatalogAccounts:
    """Keeps who there is; implements :class:`registry.auth.sessions.Accounts`.

    Args:
        principals: Where.
        file_names: Returns the users of the auth file: nobody of a provider gets such a name.
    """

    def __init__(
        self, principals: Principals, file_names: Callable[[], Collection[str]] = tuple
    ) -> None:
        self._principals = principals
        self._file_names = file_names

    async def arrive(self, person: Person, address: str) -> str:
        """Return the name of somebody who has logged in at a provider; made at the first login.

        Raises:
            NameTaken: Their name belongs to somebody else.
            LoginRefused: Their account is disabled.
            DatabaseUnavailable: It cannot be looked up now.
        """
        try:
            principal = await self._principals.log_in_oidc(
                person.issuer,
                person.subject,
                person.name,
                display_name=person.display_name,
                email=person.email,
                groups=sorted(person.groups),
                taken=self._file_names(),
                address=address,
            )
        except CatalogNameTaken as exc:
            raise NameTaken(person.name) from exc
        return _enabled(principal).name

    async def arrive_by_password(self, name: str, address: str) -> None:
        """Make sure that a user of the auth file has an account.

        Raises:
            LoginRefused: The account is disabled.
            DatabaseUnavailable: It cannot be looked up now.
        """
        try:
            _enabled(await self._principals.get(name))
        except PrincipalUnknown:
            with suppress(CatalogNameTaken):  # by the same user, in another browser
                actor = Actor(name, address=address, via="login")
                await self._principals.create(actor, name, source="file")
        await self._principals.seen(name)


class CatalogSessions:
    """Keeps the secrets of browsers; implements :class:`registry.auth.sessions.Sessions`.

    Args:
        database: Tells the time.
        tokens: Where they are kept.
        owner: Returns, from memory, whose session has a digest, and its number; ``None``: nobody's
            that still holds.
    """

    def __init__(
        self,
        database: Database,
        tokens: TokenStore,
        owner: Callable[[str], tuple[str, int] | None],
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._owner = owner

    async def open(self, name: str, address: str) -> str:
        """Return the new secret of a browser in which ``name`` has logged in.

        Raises:
            DatabaseUnavailable: It cannot be kept now.
        """
        ends = self._database.now() + timedelta(seconds=SESSION_SECONDS)
        actor = Actor(name, address=address, via="login")
        _, secret = await self._tokens.create(
            actor, name, "browser", kind="session", expires_at=ends
        )
        return secret

    def owner(self, secret: str) -> str | None:
        """Return whose browser that is, from memory; ``None`` if it is nobody's, or any more."""
        found = self._owner(digest_of(secret))
        return found[0] if found else None

    def number(self, secret: str) -> int | None:
        """Return the number of a browser's login, from memory; ``None``: it is nobody's."""
        found = self._owner(digest_of(secret))
        return found[1] if found else None

    async def close(self, secret: str, address: str) -> None:
        """End a browser's login; harmless if there is none.

        Raises:
            DatabaseUnavailable: It cannot be ended now.
        """
        found = self._owner(digest_of(secret))
        if found is not None:
            actor = Actor(found[0], address=address, via="login")
            await self._tokens.revoke(actor, found[1])

    async def create_token(self, name: str, label: str, address: str) -> str:
        """Return a new personal token of ``name``, which is called ``label``.

        Raises:
            DatabaseUnavailable: It cannot be kept now.
            TokenInvalid: It cannot be called so.
        """
        actor = Actor(name, address=address, via="login")
        _, secret = await self._tokens.create(actor, name, label)
        return secret


def _enabled(principal: Principal) -> Principal:
    if principal.disabled_at is not None:
        raise LoginRefused(f"'{principal.name}' is disabled here: ask the administrator")
    return principal
