"""Namespaces: what people and teams own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.environment_rows import judge_again
from registry.catalog.journal import add_event, changes, publish_namespace, publish_where
from registry.catalog.limits import inherit_quota
from registry.catalog.lookup import (
    MAX_PAGE,
    checked_principal,
    checked_text,
    contains,
    cursor,
    namespace_of,
    namespace_row,
    page_after,
    search_text,
)
from registry.catalog.ownership import rename_grants, set_owner
from registry.catalog.ports import (
    Announce,
    RepositoryNames,
    Settled,
    announce_nowhere,
    settled_nowhere,
)
from registry.catalog.proposing import close_open
from registry.catalog.records import Actor, Namespace, Page, Visibility
from registry.catalog.running import cancel_open
from registry.catalog.slugs import is_slug, slug_of
from registry.catalog.visibility import sees_namespace
from registry.database import Database, tables
from registry.errors import (
    CatalogNameTaken,
    DatabaseUnavailable,
    NamespaceInUse,
    NamespaceUnknown,
    RevisionConflict,
)


class Namespaces:
    """Makes, finds, changes and deletes namespaces.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and then nothing was changed.

    Args:
        database: Where they are.
        repositories: What was pushed: a namespace gets no name that a repository has, and keeps
            its own as long as there are any below it.
        settled: Waits until all servers know of a change.
        announce: Has it in the store that there is a namespace, before there is: a server that
            starts without the database lets nobody see what was pushed into it.
    """

    def __init__(
        self,
        database: Database,
        repositories: RepositoryNames,
        settled: Settled = settled_nowhere,
        announce: Announce = announce_nowhere,
    ) -> None:
        self._database = database
        self._repositories = repositories
        self._settled = settled
        self._announce = announce

    async def create(
        self, actor: Actor, name: str, *, description: str = "", owner: str | None = None
    ) -> Namespace:
        """Return a new namespace. Its owner gets the role ``owner`` on all of it.

        If one of that name had a quota and was deleted, it has that quota.

        Raises:
            CatalogNameInvalid: It, or its owner, cannot be named so.
            CatalogNameTaken: Another namespace, or a pushed repository, has that name.
        """
        slug = slug_of(name)
        checked_text("description", description)
        if owner is not None:
            checked_principal(owner)
        await self._require_free(slug)
        async with self._announced(slug), self._database.writing() as connection:
            now = self._database.now()
            values = {
                "name": name,
                "slug": slug,
                "description": description,
                "search_text": search_text(name, slug, description),
                "owner": owner,
                "created_at": now,
            }
            row = await _written(connection, insert(tables.namespace).values(values), slug)
            await inherit_quota(connection, slug, row.id)
            after = {"name": name, "description": description, "owner": owner}
            await add_event(
                connection, actor, now, "namespace.created", namespace=slug, detail={"after": after}
            )
            change = await publish_namespace(connection, slug, now)
            if owner is not None:
                change = await set_owner(connection, actor, slug, owner, now)
        await self._settled(change)
        return namespace_of(row)

    async def list(
        self,
        visible: Visibility,
        *,
        search: str = "",
        within: Visibility | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Namespace]:
        """Return those that can be seen, by slug.

        Args:
            visible: What whoever asks may see; a namespace, if anything in it.
            search: What name, slug or description has in it; lower and upper case are the same.
            within: What of that is wanted; ``None``: all.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        table = tables.namespace
        limit = max(1, min(limit, MAX_PAGE))
        statement = (
            select(table)
            .where(
                table.c.deleted_at.is_(None),
                table.c.slug > page_after(after),
                contains(table.c.search_text, search),
                sees_namespace(visible, table.c.slug, table.c.id),
            )
            .order_by(table.c.slug)
            .limit(limit + 1)
        )
        if within is not None:
            statement = statement.where(sees_namespace(within, table.c.slug, table.c.id))
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        more = cursor(rows[limit - 1].slug) if len(rows) > limit else None
        return Page([namespace_of(row) for row in rows[:limit]], more)

    async def get(self, slug: str) -> Namespace:
        """Return a namespace.

        Raises:
            NamespaceUnknown: There is none of that slug.
        """
        async with self._database.reading() as connection:
            return namespace_of(await namespace_row(connection, slug))

    async def former_owner(self, slug: str) -> str | None:
        """Return whose the namespace was that had a slug and was deleted last; ``None``: nobody's.

        There may be another one of that slug by now.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(_deleted(slug))).first()
        return row.owner if row is not None else None

    async def update(
        self,
        actor: Actor,
        slug: str,
        *,
        revision: int | None = None,
        name: str | None = None,
        description: str | None = None,
        owner: str | None = None,
    ) -> Namespace:
        """Return the namespace with what is given changed; ``None`` leaves a thing as it is.

        With another name, all its environments have other addresses at once.

        Args:
            actor: Who changes it.
            slug: Which one.
            revision: What it must have; ``None``: any.
            name: Its new name.
            description: Its new description.
            owner: Its new owner; the one before keeps no role by having been it.

        Raises:
            NamespaceUnknown: There is none of that slug.
            RevisionConflict: It has another revision.
            CatalogNameInvalid: It, or its owner, cannot be named so.
            CatalogNameTaken: Something else has that name.
            NamespaceInUse: It would get another slug, and has pushed repositories.
        """
        new = slug if name is None else slug_of(name)
        checked_text("description", description or "")
        if owner is not None:
            checked_principal(owner)
        if new != slug:
            await self._require_empty(slug)
            await self._require_free(new)
        table = tables.namespace
        announced = self._announced(new) if new != slug else nullcontext()
        async with announced, self._database.writing() as connection:
            now = self._database.now()
            row = await namespace_row(connection, slug)
            if revision not in {None, row.revision}:
                raise RevisionConflict(slug, row.revision)
            changed: dict[str, Any] = {
                "name": row.name if name is None else name,
                "slug": new,
                "description": row.description if description is None else description,
                "owner": row.owner if owner is None else owner,
            }
            detail = changes(row, changed)
            if not detail["after"]:
                return namespace_of(row)
            text = search_text(changed["name"], new, changed["description"])
            statement = (
                update(table)
                .where(table.c.id == row.id)
                .values(**changed, search_text=text, revision=row.revision + 1)
            )
            found = await _written(connection, statement, new)
            await add_event(
                connection, actor, now, "namespace.updated", namespace=new, detail=detail
            )
            change = await publish_namespace(connection, new, now)
            if new != slug:
                await publish_namespace(connection, slug, now)
                await rename_grants(connection, slug, new, now)
                change = await _rename(connection, row, new, now)
            if "owner" in detail["after"]:
                change = await set_owner(connection, actor, new, changed["owner"], now)
        await self._settled(change)
        return namespace_of(found)

    async def delete(self, actor: Actor, slug: str, *, revision: int | None = None) -> None:
        """Delete a namespace with all its environments; what is running in it is cancelled.

        Args:
            actor: Who deletes it.
            slug: Which one.
            revision: What it must have; ``None``: any.

        Raises:
            NamespaceUnknown: There is none of that slug.
            RevisionConflict: It has another revision.
            NamespaceInUse: It has pushed repositories.
        """
        await self._require_empty(slug)
        table, environment = tables.namespace, tables.environment
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await namespace_row(connection, slug)
            if revision not in {None, row.revision}:
                raise RevisionConflict(slug, row.revision)
            await connection.execute(
                update(table)
                .where(table.c.id == row.id)
                .values(deleted_at=now, revision=row.revision + 1)
            )
            inside = (environment.c.namespace_id == row.id) & environment.c.deleted_at.is_(None)
            await cancel_open(connection, actor, inside, now)
            await close_open(connection, actor, inside, now, "its environment was deleted")
            await publish_where(connection, inside, now)
            await connection.execute(update(environment).where(inside).values(deleted_at=now))
            await rename_grants(connection, slug, f"{slug}#{row.id}", now)
            await add_event(
                connection,
                actor,
                now,
                "namespace.deleted",
                namespace=slug,
                detail={"before": {"name": row.name, "owner": row.owner}},
                namespace_id=row.id,
            )
            change = await publish_namespace(connection, slug, now)
        await self._settled(change)

    async def restore(self, actor: Actor, slug: str) -> Namespace:
        """Return the namespace of that slug deleted last, with what was deleted with it.

        Its quota comes along, and it has what it had: nothing of it is refused.

        Raises:
            NamespaceUnknown: None of that slug was deleted.
            CatalogNameTaken: Something else has got the name since.
        """
        if not is_slug(slug):
            raise NamespaceUnknown(slug)
        await self._require_free(slug)
        table, environment = tables.namespace, tables.environment
        async with self._announced(slug), self._database.writing() as connection:
            now = self._database.now()
            row = (await connection.execute(_deleted(slug))).first()
            if row is None:
                raise NamespaceUnknown(slug)
            statement = (
                update(table)
                .where(table.c.id == row.id)
                # Retention may have freed some of it since: it is measured anew.
                .values(deleted_at=None, size_bytes=None, revision=row.revision + 1)
            )
            found = await _written(connection, statement, slug)
            inside = (environment.c.namespace_id == row.id) & (
                environment.c.deleted_at == row.deleted_at
            )
            await publish_where(connection, inside, now)
            await judge_again(connection, inside)
            await connection.execute(update(environment).where(inside).values(deleted_at=None))
            await rename_grants(connection, f"{slug}#{row.id}", slug, now)
            await add_event(connection, actor, now, "namespace.restored", namespace=slug)
            change = await publish_namespace(connection, slug, now)
        await self._settled(change)
        return namespace_of(found)

    @asynccontextmanager
    async def _announced(self, slug: str) -> AsyncIterator[None]:
        """Have the store say that there is a namespace, and no more if it is refused inside.

        Where this process ends in between, the periodic comparison takes it back.
        """
        await self._announce(slug)
        try:
            yield
        except BaseException:  # of whoever asked and has left, too
            with suppress(DatabaseUnavailable):
                async with self._database.writing() as connection:
                    await publish_namespace(connection, slug, self._database.now())
            raise

    async def _require_empty(self, slug: str) -> None:
        """Return if nothing was pushed into a namespace: that would be private no more.

        Raises:
            NamespaceUnknown: There is none of that slug.
            NamespaceInUse: Something was.
        """
        await self.get(slug)
        if await self._repositories.has_repository(slug):
            raise NamespaceInUse(slug)

    async def _require_free(self, slug: str) -> None:
        """Return if nothing was pushed where a namespace would be.

        Raises:
            CatalogNameTaken: Something was.
        """
        if await self._repositories.has_repository(slug):
            raise CatalogNameTaken(
                f"'{slug}' has pushed repositories: delete those first, or choose another name"
            )


def _deleted(slug: str) -> Select[Any]:
    """Return what selects the namespace that was deleted last of those of a slug."""
    table = tables.namespace
    return (
        select(table)
        .where(table.c.slug == slug, table.c.deleted_at.is_not(None))
        .order_by(table.c.deleted_at.desc(), table.c.id.desc())
        .limit(1)
    )


async def _rename(connection: AsyncConnection, row: Row[Any], slug: str, now: Any) -> int:
    """Give all environments of a namespace their new paths; return the last change."""
    table = tables.environment
    mine = table.c.namespace_id == row.id
    path = f"{slug}/" + table.c.slug
    await judge_again(connection, mine)
    await publish_where(connection, mine & table.c.deleted_at.is_(None), now)
    await connection.execute(
        update(table)
        .where(mine)
        .values(
            path=path,
            # As a line of its own: a description may have the old name in it, too.
            search_text=func.replace(
                table.c.search_text, "\n" + table.c.path + "\n", "\n" + path + "\n"
            ),
        )
    )
    return await publish_where(connection, mine & table.c.deleted_at.is_(None), now)


async def _written(connection: AsyncConnection, statement: Any, slug: str) -> Row[Any]:
    """Return the row that was written.

    Raises:
        CatalogNameTaken: Another namespace has the slug.
    """
    try:
        return (await connection.execute(statement.returning(tables.namespace))).one()
    except IntegrityError as exc:
        raise CatalogNameTaken(
            f"there is a namespace '{slug}' already: choose another name"
        ) from exc
