"""Tokens: what programs log in with."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, TokenInfo, TokenKind
from registry.database import Database

#: What every secret begins with: scanners find it, and no password of people does.
PREFIX = "pft_"


class TokenStore:
    """Makes tokens, lists them, revokes them.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where they are.
        settled: Waits until all servers know of a change.
    """

    def __init__(self, database: Database, settled: Settled = settled_nowhere) -> None:
        self._database = database
        self._settled = settled

    async def create(
        self,
        actor: Actor,
        principal: str,
        name: str,
        *,
        kind: TokenKind = "personal",
        scopes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[TokenInfo, str]:
        """Return a token of ``principal`` and its secret, which nobody can read again.

        Args:
            actor: Who makes it.
            principal: Whose rights it has, at most.
            name: What it is for.
            kind: Whether a person or a robot has it.
            scopes: Rights such as ``"team/*:pull"``; ``None``: all that its principal has.
            expires_at: When it ends; ``None``: never.

        Raises:
            TokenInvalid: Its name, its scopes or its end make no sense.
        """
        raise NotImplementedError

    async def list(
        self, principal: str | None = None, *, include_ended: bool = False
    ) -> Sequence[TokenInfo]:
        """Return the tokens of ``principal``, the newest first; ``None``: of everybody."""
        raise NotImplementedError

    async def get(self, token: int) -> TokenInfo:
        """Return a token.

        Raises:
            TokenUnknown: There is none.
        """
        raise NotImplementedError

    async def revoke(self, actor: Actor, token: int) -> None:
        """Refuse a token from now on, at every door of every server. Idempotent.

        Raises:
            TokenUnknown: There is none.
        """
        raise NotImplementedError

    async def used(self, at: Mapping[int, datetime]) -> None:
        """Note when tokens were used last; what is noted already within the hour stays."""
        raise NotImplementedError
