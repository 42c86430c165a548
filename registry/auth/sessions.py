"""What logging in with a browser needs of those who keep accounts and tokens."""

from typing import Final, Protocol

from registry.auth.oidc import Person

#: How long a browser stays logged in.
SESSION_SECONDS: Final = 12 * 3600


class Accounts(Protocol):
    """Keeps who there is."""

    async def arrive(self, person: Person, address: str) -> str:
        """Return the name of somebody who has logged in at a provider, with their groups as told.

        Issuer and subject are who they are; an account is made at the first login. Memberships
        that came from a provider before and are not told any more are gone after return, others
        stay. May be repeated.

        Raises:
            NameTaken: Their name belongs to another subject, or to a user of the auth file.
            LoginRefused: Their account is disabled.
            DatabaseUnavailable: It cannot be looked up now.
        """
        ...

    async def arrive_by_password(self, name: str, address: str) -> None:
        """Make sure that a user of the auth file has an account, which tokens can belong to.

        Raises:
            LoginRefused: The account is disabled.
            DatabaseUnavailable: It cannot be looked up now.
        """
        ...


class Sessions(Protocol):
    """Keeps the secrets of browsers and of command lines."""

    async def open(self, name: str, address: str) -> str:
        """Return the new secret of a browser in which ``name`` has logged in.

        It ends after :data:`SESSION_SECONDS`, and is good for nothing but the cookie: neither as
        a password nor as a Bearer token.

        Raises:
            DatabaseUnavailable: It cannot be kept now.
        """
        ...

    def owner(self, secret: str) -> str | None:
        """Return whose browser that is, from memory; ``None`` if it is nobody's, or any more."""
        ...

    def number(self, secret: str) -> int | None:
        """Return the number of a browser's login, from memory; ``None``: as :meth:`owner`."""
        ...

    async def close(self, secret: str, address: str) -> None:
        """End a browser's login; harmless if there is none.

        Raises:
            DatabaseUnavailable: It cannot be ended now.
        """
        ...

    async def create_token(self, name: str, label: str, address: str) -> str:
        """Return a new personal token of ``name``, which is called ``label``.

        Raises:
            DatabaseUnavailable: It cannot be kept now.
        """
        ...
