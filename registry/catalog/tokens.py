"""Tokens: what programs log in with."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.rights import parse_right
from registry.auth.wildcards import MAX_WILDCARDS, count_wildcards
from registry.catalog.journal import add_change, add_event
from registry.catalog.lookup import (
    MAX_NUMBER,
    MAX_PAGE,
    checked_principal,
    page_of,
    searchable,
)
from registry.catalog.ports import Settled, settled_nowhere
from registry.catalog.records import Actor, Page, TokenInfo, TokenKind
from registry.database import Database, tables
from registry.errors import LoginRefused, TokenInvalid, TokenUnknown

#: What every secret begins with: scanners find it, and no password of people does.
PREFIX: Final = "pft_"
_USED_EVERY: Final = timedelta(hours=1)
_SESSIONS_KEPT: Final = timedelta(days=1)


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
            LoginRefused: Its principal is disabled: nothing is made that is good once they are not.
        """
        now = self._database.now()
        _check(name, scopes, expires_at, now)
        secret = PREFIX + secrets.token_urlsafe(32)
        table = tables.token
        statement = insert(table).values(
            sha256=digest_of(secret),
            hint=secret[-6:],
            principal_name=checked_principal(principal),
            name=name,
            kind=kind,
            scopes=list(scopes) if scopes is not None else None,
            created_at=now,
            expires_at=expires_at,
        )
        async with self._database.writing() as connection:
            await _require_enabled(connection, principal)
            row = (await connection.execute(statement.returning(table))).one()
            await add_event(
                connection,
                actor,
                now,
                "token.created",
                detail={"token": row.id, "of": principal, "after": _terms(row)},
            )
            change = await add_change(connection, "token", str(row.id), now)
        await self._settled(change)
        return token_of(row), secret

    async def list(
        self,
        principal: str | None = None,
        *,
        kinds: Sequence[TokenKind] | None = None,
        include_ended: bool = False,
        after: int | None = None,
        limit: int = 50,
    ) -> Page[TokenInfo]:
        """Return tokens, the newest first.

        Args:
            principal: Whose; ``None``: of everybody.
            kinds: Of which kinds; ``None``: of all.
            include_ended: Whether also those that have ended, or were revoked.
            after: The number with which the page before ended.
            limit: The most to return.
        """
        table = tables.token
        limit = max(1, min(limit, MAX_PAGE))
        statement = select(table).order_by(table.c.id.desc()).limit(limit + 1)
        if after is not None:
            statement = statement.where(table.c.id < min(after, MAX_NUMBER))
        if principal is not None:
            statement = statement.where(table.c.principal_name == searchable(principal))
        if kinds is not None:
            statement = statement.where(table.c.kind.in_(kinds))
        if not include_ended:
            now = self._database.now()
            statement = statement.where(
                table.c.revoked_at.is_(None),
                or_(table.c.expires_at.is_(None), table.c.expires_at > now),
            )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return page_of(rows, token_of, limit)

    async def get(self, token: int) -> TokenInfo:
        """Return a token.

        Raises:
            TokenUnknown: There is none.
        """
        table = tables.token
        async with self._database.reading() as connection:
            statement = select(table).where(table.c.id == token)
            row = (await connection.execute(statement)).first() if 0 < token <= MAX_NUMBER else None
        if row is None:
            raise TokenUnknown(f"there is no token {token} here")
        return token_of(row)

    async def revoke(self, actor: Actor, token: int) -> None:
        """Refuse a token from now on, at every door of every server. Idempotent.

        Raises:
            TokenUnknown: There is none.
        """
        table = tables.token
        found = await self.get(token)
        if found.revoked_at is not None:
            return
        async with self._database.writing() as connection:
            now = self._database.now()
            await connection.execute(
                update(table)
                .where(table.c.id == token, table.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            await add_event(
                connection,
                actor,
                now,
                "token.revoked",
                detail={"token": token, "of": found.principal, "before": _terms(found)},
            )
            change = await add_change(connection, "token", str(token), now)
        await self._settled(change)

    async def addresses(self, sessions: Sequence[TokenInfo]) -> Mapping[int, str]:
        """Return from where browsers were logged in, as the audit log has it; of some it has not.

        Args:
            sessions: Of one principal.
        """
        if not sessions:
            return {}
        table = tables.event
        statement = (
            select(table.c.detail, table.c.address)
            .where(
                table.c.actor == sessions[0].principal,
                table.c.at >= min(one.created_at for one in sessions),
                table.c.at <= max(one.created_at for one in sessions),
                table.c.action == "token.created",
            )
            .order_by(table.c.at.desc(), table.c.id.desc())
            .limit(MAX_PAGE)
        )
        wanted = {one.id for one in sessions}
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        found = {int((row.detail or {}).get("token", 0)): row.address for row in rows}
        return {number: address for number, address in found.items() if number in wanted}

    async def end_sessions(self, actor: Actor, principal: str, *, but: int | None = None) -> int:
        """End the logins of somebody's browsers; return how many there were.

        Args:
            actor: Who does it.
            principal: Whose.
            but: The number of one that goes on; ``None``: none does.
        """
        table = tables.token
        async with self._database.writing() as connection:
            now = self._database.now()
            ended = await connection.execute(
                update(table)
                .where(
                    table.c.principal_name == searchable(principal),
                    table.c.kind == "session",
                    table.c.revoked_at.is_(None),
                    table.c.expires_at > now,
                    table.c.id != (but or 0),
                )
                .values(revoked_at=now)
                .returning(table)
            )
            rows = ended.all()
            change = 0
            for row in rows:
                detail = {"token": row.id, "of": principal, "before": _terms(row)}
                await add_event(connection, actor, now, "token.revoked", detail=detail)
                change = await add_change(connection, "token", str(row.id), now)
        await self._settled(change)
        return len(rows)

    async def forget_sessions(self) -> None:
        """Throw away logins of browsers that ended a day ago; what was done with them stays told.

        They come with every login, and no server should keep them for ever.
        """
        table = tables.token
        async with self._database.writing() as connection:
            now = self._database.now()
            before = now - _SESSIONS_KEPT
            ended = (
                select(table.c.id)
                .where(
                    table.c.kind == "session",
                    or_(table.c.expires_at < before, table.c.revoked_at < before),
                )
                .limit(MAX_PAGE)
            )
            gone = list((await connection.execute(ended)).scalars())
            if gone:
                await connection.execute(delete(table).where(table.c.id.in_(gone)))
            for number in gone:
                await add_change(connection, "token", str(number), now)

    async def used(self, at: Mapping[int, datetime]) -> None:
        """Note when tokens were used last; what is noted already within the hour stays."""
        table = tables.token
        if not at:
            return
        async with self._database.writing(is_ordered=False) as connection:
            for token, moment in sorted(at.items()):
                is_old = or_(
                    table.c.last_used_at.is_(None), table.c.last_used_at < moment - _USED_EVERY
                )
                await connection.execute(
                    update(table).where(table.c.id == token, is_old).values(last_used_at=moment)
                )


async def _require_enabled(connection: AsyncConnection, principal: str) -> None:
    table = tables.principal
    statement = select(table.c.disabled_at).where(table.c.name == searchable(principal))
    if (await connection.execute(statement)).scalar() is not None:
        raise LoginRefused(f"'{principal[:100]}' is disabled here: ask the administrator")


def digest_of(secret: str) -> str:
    """Return by what a token is looked up. Its secret is random: nothing slower is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def token_of(row: Row[Any]) -> TokenInfo:
    """Return the record of a row."""
    return TokenInfo(
        row.id,
        row.principal_name,
        row.name,
        row.kind,
        row.hint,
        tuple(row.scopes) if row.scopes is not None else None,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.revoked_at,
        row.sha256,
    )


def _terms(token: Row[Any] | TokenInfo) -> dict[str, Any]:
    """Return what an event tells of a token: nothing of its secret."""
    return {
        "name": token.name,
        "kind": token.kind,
        "scopes": list(token.scopes) if token.scopes is not None else None,
        "expires_at": token.expires_at.isoformat() if token.expires_at is not None else None,
    }


def _check(
    name: str, scopes: Sequence[str] | None, expires_at: datetime | None, now: datetime
) -> None:
    if not name.strip() or len(name) > 200 or searchable(name) != name:
        raise TokenInvalid("a token has a name of 1 to 200 characters that says what it is for")
    if expires_at is not None and expires_at <= now:
        raise TokenInvalid("the token would have ended already: choose a later time")
    if scopes is not None and len(scopes) > 100:
        raise TokenInvalid("a token has at most 100 scopes")
    for scope in scopes or ():
        try:
            right = parse_right(scope)
        except ValueError as exc:
            raise TokenInvalid(str(exc)) from exc
        if count_wildcards(right.pattern.text) > MAX_WILDCARDS:
            raise TokenInvalid(
                f"the pattern of a scope has at most {MAX_WILDCARDS} wildcards: write"
                f" {scope[:100]!r} with fewer"
            )
