"""Reads rows into a server's memory: all of them, or what changes name."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.block_loading import BlockLoading
from registry.catalog.grants import grant_of
from registry.catalog.pointers import pointers_after, pointers_at
from registry.catalog.policy_loading import PolicyLoading
from registry.catalog.ports import Blocks, Directory, Entitlements, HeldBook
from registry.catalog.signing import signing_key
from registry.catalog.tokens import token_of
from registry.catalog.waiver_loading import WaiverLoading
from registry.database import Database, tables
from registry.sources.directory import Pointer

#: So many rows are read at once: a few milliseconds of the event loop.
_BATCH: Final = 500


class Loading:
    """Fills a server's memory from the database.

    Args:
        directory: Where environments lead to.
        entitlements: Who may do what.
        book: What holds for builds.
        blocks: Which builds are blocked; ``None``: nobody asks.
    """

    def __init__(
        self,
        directory: Directory,
        entitlements: Entitlements,
        book: HeldBook,
        blocks: Blocks | None = None,
    ) -> None:
        self._directory = directory
        self._entitlements = entitlements
        self._waivers = WaiverLoading(book)
        self._policies = PolicyLoading(book)
        self._blocks = BlockLoading(blocks) if blocks is not None else None
        # What memory has, to see what is gone when all is read again.
        self._namespaces: set[str] = set()
        self._paths: set[str] = set()
        self._grants: set[int] = set()
        self._tokens: set[int] = set()
        self._principals: set[str] = set()

    async def everything(self, database: Database) -> None:
        """Read all rows, in batches: others are served in between. A new database gets a key.

        Raises:
            DatabaseUnavailable: It does not answer; memory has a part of it.
        """
        kept: dict[str, set[Any]] = {"namespace": set(), "path": set(), "grant": set()}
        kept["token"] = set()
        # Before the tokens: whoever has one gets a bearer token that is signed with it.
        self._entitlements.put_signing_key(await signing_key(database))
        async with database.reading() as connection:
            statement = select(tables.namespace.c.slug).where(
                tables.namespace.c.deleted_at.is_(None)
            )
            for slug in (await connection.execute(statement)).scalars():
                self._put_namespace(slug)
                kept["namespace"].add(slug)
        async for row in _rows(database, select(tables.grant), tables.grant.c.id):
            self._put_grant(row)
            kept["grant"].add(row.id)
        unrevoked = select(tables.token).where(tables.token.c.revoked_at.is_(None))
        async for row in _rows(database, unrevoked, tables.token.c.id):
            self._put_token(row)
            kept["token"].add(row.id)
        await self._all_principals(database)
        # Before the waivers: what is let pass is refused until then.
        await self._policies.everything(database)
        await self._waivers.everything(database)
        if self._blocks is not None:
            await self._blocks.everything(database)
        after = ""
        while True:
            async with database.reading() as connection:
                batch = await pointers_after(connection, after)
            for pointer in batch:
                after = f"{pointer.namespace}/{pointer.environment}"
                self._directory.put(pointer)
                self._paths.add(after)
                kept["path"].add(after)
            if not batch:
                break
            await asyncio.sleep(0)
        for slug in self._namespaces - kept["namespace"]:
            self._remove_namespace(slug)
        for path in self._paths - kept["path"]:
            self._remove(path)
        for grant in self._grants - kept["grant"]:
            self._remove_grant(grant)
        for token in self._tokens - kept["token"]:
            self._remove_token(token)

    def learn(self, path: str, pointer: Pointer | None) -> None:
        """Know where an environment leads to, until everything is read; ``None``: nowhere."""
        if pointer is None:
            self._remove(path)
            return
        self.learn_namespace(pointer.namespace)
        self._directory.put(pointer)
        self._paths.add(path)

    def learn_namespace(self, slug: str) -> None:
        """Know a namespace, until everything is read."""
        self._put_namespace(slug)

    async def policies_again(self, database: Database, named: Iterable[tuple[str, str]]) -> None:
        """Read policies that changes name; beside :meth:`again`, since their texts take a while.

        Raises:
            DatabaseUnavailable: It does not answer; memory has a part of it.
        """
        subjects = _subjects(named)
        await self._policies.again(
            database,
            [int(one) for one in subjects.get("policy", ())],
            subjects.get("namespace", []),
        )

    async def again(self, connection: AsyncConnection, named: Iterable[tuple[str, str]]) -> None:
        """Read what changes name: pairs of kind and subject."""
        subjects = _subjects(named)
        # Rights first: what is new is seen by nobody who may not.
        await self._some_principals(
            connection, [*subjects.get("principal", ()), *subjects.get("group", ())]
        )
        await self._some_grants(connection, [int(one) for one in subjects.get("grant", ())])
        await self._some_tokens(connection, [int(one) for one in subjects.get("token", ())])
        await self._some_namespaces(connection, subjects.get("namespace", []))
        if self._blocks is not None:
            await self._blocks.again(connection, subjects.get("block", []))
        paths = subjects.get("environment", [])
        await self._waivers.again(
            connection,
            [int(one) for one in subjects.get("waiver", ())],
            paths=paths,
            namespaces=subjects.get("namespace", []),
        )
        for path, pointer in (await pointers_at(connection, paths)).items():
            if pointer is None:
                self._remove(path)
            else:
                self._directory.put(pointer)
                self._paths.add(path)

    async def _some_namespaces(self, connection: AsyncConnection, slugs: Sequence[str]) -> None:
        table = tables.namespace
        for part in _parts(slugs):
            statement = select(table.c.slug).where(
                table.c.slug.in_(part), table.c.deleted_at.is_(None)
            )
            alive = set((await connection.execute(statement)).scalars())
            for slug in part:
                (self._put_namespace if slug in alive else self._remove_namespace)(slug)

    async def _some_grants(self, connection: AsyncConnection, ids: Sequence[int]) -> None:
        table = tables.grant
        for part in _parts(ids):
            rows = await connection.execute(select(table).where(table.c.id.in_(part)))
            found = {row.id: row for row in rows}
            for number in part:
                if number in found:
                    self._put_grant(found[number])
                else:
                    self._remove_grant(number)

    async def _some_tokens(self, connection: AsyncConnection, ids: Sequence[int]) -> None:
        table = tables.token
        for part in _parts(ids):
            statement = select(table).where(table.c.id.in_(part), table.c.revoked_at.is_(None))
            found = {row.id: row for row in await connection.execute(statement)}
            for number in part:
                if number in found:
                    self._put_token(found[number])
                else:
                    self._remove_token(number)

    async def _some_principals(self, connection: AsyncConnection, names: Sequence[str]) -> None:
        table, member = tables.principal, tables.membership
        for part in _parts(list(dict.fromkeys(names))):
            rows = await connection.execute(
                select(table.c.name, table.c.disabled_at, table.c.source).where(
                    table.c.name.in_(part)
                )
            )
            known = {row.name: row for row in rows}
            groups: dict[str, list[str]] = {}
            belong = select(member.c.principal_name, member.c.group_name).where(
                member.c.principal_name.in_(part)
            )
            for name, group in await connection.execute(belong.order_by(member.c.group_name)):
                groups.setdefault(name, []).append(group)
            for name in part:
                self._principals.add(name)
                row = known.get(name)
                self._entitlements.put_principal(
                    name,
                    is_disabled=row is not None and row.disabled_at is not None,
                    groups=groups.get(name, []),
                    is_of_file=row is not None and row.source == "file",
                )

    async def _all_principals(self, database: Database) -> None:
        table, member = tables.principal, tables.membership
        names = (
            select(table.c.name)
            .where(or_(table.c.disabled_at.is_not(None), table.c.source == "file"))
            .union(select(member.c.principal_name))
        )
        async with database.reading() as connection:
            found = list((await connection.execute(names)).scalars())
            await self._some_principals(connection, [*found, *self._principals])

    def _put_namespace(self, slug: str) -> None:
        self._directory.put_namespace(slug)
        self._namespaces.add(slug)

    def _remove_namespace(self, slug: str) -> None:
        self._directory.remove_namespace(slug)
        self._namespaces.discard(slug)

    def _remove(self, path: str) -> None:
        self._directory.remove(*path.split("/", 1))
        self._paths.discard(path)

    def _put_grant(self, row: Any) -> None:
        self._entitlements.put_grant(grant_of(row))
        self._grants.add(row.id)

    def _remove_grant(self, grant: int) -> None:
        self._entitlements.remove_grant(grant)
        self._grants.discard(grant)

    def _put_token(self, row: Any) -> None:
        self._entitlements.put_token(token_of(row))
        self._tokens.add(row.id)

    def _remove_token(self, token: int) -> None:
        self._entitlements.remove_token(token)
        self._tokens.discard(token)


def _subjects(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return what changes name, by their kinds, each thing once."""
    subjects: dict[str, list[str]] = {}
    for kind, subject in dict.fromkeys(named):
        subjects.setdefault(kind, []).append(subject)
    return subjects


def _parts(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


async def _rows(database: Database, statement: Select[Any], key: Any) -> Any:
    last = 0
    while True:
        async with database.reading() as connection:
            page = statement.where(key > last).order_by(key).limit(_BATCH)
            rows = (await connection.execute(page)).all()
        for row in rows:
            yield row
        if not rows:
            return
        last = rows[-1].id
