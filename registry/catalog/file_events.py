"""Events of what is changed by editing files: the auth file, and policies that are kept in files.

Every server reads them; whichever sees a change first tells of it, and the others find it told.
Who has edited a file is not known: it is the service that tells. What was changed while no server
ran is told at the next start.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.policy import Identity
from registry.auth.policy import Policy as AuthPolicy
from registry.catalog.journal import add_event
from registry.catalog.policy_rows import told_text
from registry.catalog.records import SERVICE
from registry.database import Database, tables
from registry.errors import DatabaseUnavailable
from registry.policy.policy import Policy

_EVERY_SECONDS: Final = 2
#: Of so many accounts is told what was changed; of others, how many they are.
_MAX_NAMED: Final = 100
#: So many events are looked at to find what was told of policies.
_LOOKED_AT: Final = 500

#: What the auth file says of accounts, by name; the empty name is the file itself.
_Accounts = Mapping[str, Mapping[str, Any]]


class FileEvents:
    """Tells of changed files.

    Args:
        database: Where events are.
        auth: Returns what the auth file says, the same object until it changes.
        policies: Returns the policies that files have.
    """

    def __init__(
        self,
        database: Database,
        auth: Callable[[], AuthPolicy],
        policies: Callable[[], Sequence[Policy]],
    ) -> None:
        self._database = database
        self._auth = auth
        self._policies = policies
        self._last_auth: AuthPolicy | None = None
        self._last_accounts: _Accounts | None = None
        self._last_policies: Mapping[str, str] | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except DatabaseUnavailable:
                pass
            except Exception:  # noqa: BLE001 (logged; the next look may succeed)
                structlog.get_logger().exception("failed to tell of a changed file")
            await asyncio.sleep(_EVERY_SECONDS)

    async def look(self) -> None:
        """Tell what has changed since it was told last.

        Raises:
            DatabaseUnavailable: It does not answer; it is told the next time.
        """
        auth = self._auth()
        if auth is not self._last_auth:
            accounts, digest = await asyncio.to_thread(_accounts, auth)
            await self._tell_accounts(accounts, digest)
            self._last_auth, self._last_accounts = auth, accounts
        policies = {one.name: one.text for one in self._policies() if one.source == "file"}
        if policies != self._last_policies:
            await self._tell_policies(policies)
            self._last_policies = policies

    async def _tell_accounts(self, accounts: _Accounts, digest: str) -> None:
        async with self._database.writing() as connection:
            (last,) = [*await _told(connection, ("accounts.changed",), 1), None][:1]
            if last is None and len(accounts) <= 1 and not accounts[""]["private"]:
                return  # there is no file, and never was one
            if last is not None and last.detail.get("digest") == digest:
                return
            detail = {"file": "auth", "digest": digest, "accounts": len(accounts) - 1}
            if self._last_accounts is not None:
                detail |= _differences(self._last_accounts, accounts)
            now = self._database.now()
            await add_event(connection, SERVICE, now, "accounts.changed", detail=detail)

    async def _tell_policies(self, policies: Mapping[str, str]) -> None:
        kinds = ("policy.set", "policy.deleted")
        async with self._database.writing() as connection:
            rows = await _told(connection, kinds, _LOOKED_AT)
            before: dict[str, str | None] = {}
            for row in rows:
                name = row.detail.get("policy")
                if row.detail.get("file") and name not in before:
                    before[name] = row.detail.get("digest")
            now = self._database.now()
            for name in sorted({*before, *policies}):
                text = policies.get(name)
                digest = None if text is None else _digest(text.encode())
                if before.get(name) == digest:
                    continue
                was = (self._last_policies or {}).get(name)
                detail = {
                    "policy": name,
                    "file": True,
                    "digest": digest,
                    "before": told_text(0, was) if was is not None else {},
                    "after": told_text(0, text) if text is not None else {},
                }
                action = "policy.deleted" if text is None else "policy.set"
                await add_event(connection, SERVICE, now, action, detail=detail)


async def _told(
    connection: AsyncConnection, actions: Sequence[str], limit: int
) -> Sequence[Row[Any]]:
    """Return the newest events of some kinds, those that have a detail."""
    table = tables.event
    found: list[Row[Any]] = []
    for action in actions:
        newest = (
            select(table.c.id, table.c.detail)
            .where(table.c.action == action, table.c.detail.is_not(None))
            .order_by(table.c.at.desc(), table.c.id.desc())
            .limit(limit)
        )
        found += (await connection.execute(newest)).all()
    return sorted(found, key=lambda row: row.id, reverse=True)


def _accounts(policy: AuthPolicy) -> tuple[_Accounts, str]:
    """Return what an auth file says of accounts without their secrets, and a digest of all."""
    accounts: dict[str, Mapping[str, Any]] = {
        name: _account(one) for name, one in sorted(policy.identities.items())
    }
    accounts[""] = {"private": [one.text for one in policy.private]}
    # That a password was changed shows in the digest; what it is kept as does not.
    secrets = [one.generation for _, one in sorted(policy.identities.items())]
    return accounts, _digest(json.dumps([accounts, secrets], sort_keys=True).encode())


def _account(identity: Identity) -> Mapping[str, Any]:
    ends = identity.expires
    return {
        "rights": [str(right) for right in identity.rights],
        "expires": ends.isoformat() if ends is not None else None,
        "login": identity.generation[:6],
    }


def _differences(before: _Accounts, after: _Accounts) -> dict[str, Any]:
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    named = names[:_MAX_NAMED]
    found: dict[str, Any] = {
        "before": {name or "private": before.get(name) for name in named},
        "after": {name or "private": after.get(name) for name in named},
    }
    if len(names) > len(named):
        found["more"] = len(names) - len(named)
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
