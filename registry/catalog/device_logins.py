"""Logins of programs that wait for a person, kept where any server can go on with one."""

import secrets
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from registry.auth.device_logins import (
    LIFETIME_SECONDS,
    MAX_WAITING,
    MAX_WAITING_OF_ONE,
    DeviceLogin,
    State,
    digest_of,
    new_user_code,
)
from registry.catalog.lookup import searchable
from registry.clients.address import client_at
from registry.database import Database, tables
from registry.errors import TooManyLogins

#: Of ten thousand codes that wait, one in two million is drawn again.
_TRIES: Final = 2


class CatalogDeviceLogins:
    """Keeps them; implements :class:`registry.auth.device_logins.DeviceLogins`.

    Args:
        database: Where. What is kept of a device code is its digest.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, client: str, address: str) -> tuple[str, DeviceLogin]:
        """Return a new device code, which is kept nowhere, and the login that waits.

        Raises:
            TooManyLogins: Too many wait.
            DatabaseUnavailable: It cannot be kept now.
        """
        for _ in range(_TRIES):
            with suppress(IntegrityError):  # another waits with this code
                return await self._begin(client, address)
        return await self._begin(client, address)

    async def find(self, user_code: str) -> DeviceLogin | None:
        """Return the login that waits for a decision under a code, if one does.

        Raises:
            DatabaseUnavailable: It cannot be looked up now.
        """
        async with self._database.reading() as connection:
            statement = select(tables.device_login).where(self._waits(user_code))
            row = (await connection.execute(statement)).first()
        return _login_of(row) if row is not None else None

    async def decide(self, user_code: str, name: str | None) -> bool:
        """Grant a login in somebody's name, or with ``None`` deny it; only the first counts.

        Returns:
            Whether this was the first.

        Raises:
            DatabaseUnavailable: It cannot be kept now.
        """
        state: State = "denied" if name is None else "granted"
        statement = (
            update(tables.device_login)
            .where(self._waits(user_code))
            .values(state=state, principal_name=name)
        )
        async with self._database.writing(is_ordered=False) as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def take(self, device_code: str) -> DeviceLogin | None:
        """Return how far a login is; one that was decided is gone after that: told once.

        Raises:
            DatabaseUnavailable: It cannot be looked up now.
        """
        table = tables.device_login
        mine = (table.c.device_sha256 == digest_of(device_code)) & (
            table.c.ends_at > self._database.now()
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(select(table).where(mine))).first()
        if row is None or row.state == "waiting":
            return _login_of(row) if row is not None else None
        async with self._database.writing(is_ordered=False) as connection:
            gone = await connection.execute(delete(table).where(mine))
        # Another server, asked at the same moment, may have told it.
        return _login_of(row) if gone.rowcount == 1 else None

    async def _begin(self, client: str, address: str) -> tuple[str, DeviceLogin]:
        table = tables.device_login
        origin = client_at(address)
        device_code = secrets.token_urlsafe(32)
        async with self._database.writing(is_ordered=False) as connection:
            now = self._database.now()
            await connection.execute(delete(table).where(table.c.ends_at <= now))
            waiting = select(
                func.count(), func.count().filter(table.c.origin == origin)
            ).select_from(table)
            of_all, of_one = (await connection.execute(waiting)).one()
            if of_one >= MAX_WAITING_OF_ONE or of_all >= MAX_WAITING:
                raise TooManyLogins(
                    "too many logins wait to be confirmed: try again in a minute", seconds=60
                )
            statement = insert(table).values(
                user_code=new_user_code(),
                device_sha256=digest_of(device_code),
                client=searchable(client),
                address=address,
                origin=origin,
                state="waiting",
                ends_at=now + timedelta(seconds=LIFETIME_SECONDS),
            )
            row = (await connection.execute(statement.returning(table))).one()
        return device_code, _login_of(row)

    def _waits(self, user_code: str) -> Any:
        table = tables.device_login
        return (
            (table.c.user_code == user_code)
            & (table.c.state == "waiting")
            & (table.c.ends_at > self._database.now())
        )


def _login_of(row: Row[Any]) -> DeviceLogin:
    return DeviceLogin(
        row.user_code,
        row.device_sha256,
        row.client,
        row.address,
        row.ends_at.timestamp(),
        row.state,
        row.principal_name,
    )
