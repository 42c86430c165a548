"""Environments: named things in a namespace."""

from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.activating import make_active
from registry.catalog.journal import add_event, publish
from registry.catalog.lookup import (
    MAX_PAGE,
    checked_text,
    contains,
    cursor,
    environment_of,
    environment_row,
    namespace_row,
    page_after,
    search_text,
    searchable,
    sees_environment,
)
from registry.catalog.ownership import rename_environment_grants
from registry.catalog.ports import RepositoryNames, Settled, settled_nowhere
from registry.catalog.records import Actor, Environment, Page, Visibility
from registry.catalog.running import cancel_open
from registry.catalog.slugs import environment_slug
from registry.database import Database, tables
from registry.errors import CatalogNameTaken, EnvironmentUnknown, RevisionConflict


class Environments:
    """Makes, finds, changes, moves, copies and deletes environments.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and then nothing was changed.

    Args:
        database: Where they are.
        repositories: What was pushed: an environment gets no name that a repository has.
        settled: Waits until all servers know of a change.
    """

    def __init__(
        self,
        database: Database,
        repositories: RepositoryNames,
        settled: Settled = settled_nowhere,
    ) -> None:
        self._database = database
        self._repositories = repositories
        self._settled = settled

    async def create(
        self, actor: Actor, namespace: str, name: str, *, description: str = ""
    ) -> Environment:
        """Return a new environment, without any version.

        Raises:
            NamespaceUnknown: There is no such namespace.
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Another environment, or a pushed repository, has that name.
        """
        slug = environment_slug(name)
        checked_text("description", description)
        await self._require_free(namespace, slug)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await self._insert(connection, actor, namespace, name, description)
            await add_event(
                connection,
                actor,
                now,
                "environment.created",
                namespace=namespace,
                environment=slug,
            )
            change = await publish(connection, [row.path], now)
        await self._settled(change)
        return environment_of(row)

    async def search(
        self,
        visible: Visibility,
        *,
        namespace: str | None = None,
        search: str = "",
        package: str | None = None,
        version: str | None = None,
        include_deleted: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Environment]:
        """Return those that can be seen, by namespace and slug.

        Args:
            visible: What whoever asks may see.
            namespace: The slug of the namespace that they are in; ``None``: any.
            search: What name, slug or description has in it; lower and upper case are the same.
            package: A package that the active version has, on any platform.
            version: The exact version that it has of it, e.g. ``"3.2.0"``.
            include_deleted: Whether also what was deleted and can be restored.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        table = tables.environment
        limit = max(1, min(limit, MAX_PAGE))
        path, _, number = page_after(after).partition("\n")
        beyond = table.c.path > path
        if include_deleted and number.isascii() and number.isdigit() and len(number) < 19:
            beyond |= (table.c.path == path) & (table.c.id > int(number))
        statement = (
            select(table)
            .where(
                beyond,
                contains(table.c.search_text, search),
                sees_environment(visible, table.c.path),
            )
            .order_by(table.c.path, table.c.id)
            .limit(limit + 1)
        )
        if not include_deleted:
            statement = statement.where(table.c.deleted_at.is_(None))
        if namespace is not None:
            # By path, whose order the page is in: one range of one index. "0" comes after "/".
            first = searchable(namespace)
            statement = statement.where(table.c.path >= f"{first}/", table.c.path < f"{first}0")
        if package is not None:
            statement = statement.where(_has_package(package, version))
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        last = rows[limit - 1] if len(rows) > limit else None
        more = cursor(f"{last.path}\n{last.id}") if last is not None else None
        return Page([environment_of(row) for row in rows[:limit]], more)

    async def get(self, namespace: str, environment: str) -> Environment:
        """Return an environment.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
        """
        async with self._database.reading() as connection:
            return environment_of(await environment_row(connection, namespace, environment))

    async def update(
        self,
        actor: Actor,
        namespace: str,
        environment: str,
        *,
        revision: int | None = None,
        description: str | None = None,
        name: str | None = None,
    ) -> Environment:
        """Return the environment with what is given changed; ``None`` leaves a thing as it is.

        Args:
            actor: Who changes it.
            namespace: The slug of its namespace.
            environment: Its slug.
            revision: What it must have; ``None``: any.
            description: Its new description.
            name: Its new name; the address follows it, at once.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
            RevisionConflict: It has another revision.
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Something else has that name.
        """
        new = environment if name is None else environment_slug(name)
        checked_text("description", description or "")
        if new != environment:
            await self._require_free(namespace, new)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await environment_row(connection, namespace, environment)
            if revision not in {None, row.revision}:
                raise RevisionConflict(row.path, row.revision)
            changed: dict[str, Any] = {
                "name": row.name if name is None else name,
                "slug": new,
                "description": row.description if description is None else description,
            }
            detail = {
                field: value for field, value in changed.items() if value != getattr(row, field)
            }
            if not detail:
                return environment_of(row)
            found = await self._change(connection, row, namespace, changed)
            if new != environment:
                await rename_environment_grants(connection, namespace, environment, new, now)
            await add_event(
                connection,
                actor,
                now,
                "environment.updated",
                namespace=namespace,
                environment=new,
                detail=detail,
            )
            change = await publish(connection, {row.path: 0, found.path: 0}, now)
        await self._settled(change)
        return environment_of(found)

    async def delete(self, actor: Actor, namespace: str, environment: str) -> None:
        """Delete an environment; it can be restored. What is running in it is cancelled.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
        """
        table = tables.environment
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await environment_row(connection, namespace, environment)
            await cancel_open(connection, actor, table.c.id == row.id, now)
            await connection.execute(
                update(table)
                .where(table.c.id == row.id)
                .values(deleted_at=now, updated_at=now, revision=row.revision + 1)
            )
            away = f"{environment}#{row.id}"
            await rename_environment_grants(connection, namespace, environment, away, now)
            await add_event(
                connection,
                actor,
                now,
                "environment.deleted",
                namespace=namespace,
                environment=environment,
            )
            change = await publish(connection, [row.path], now)
        await self._settled(change)

    async def restore(self, actor: Actor, namespace: str, environment: str) -> Environment:
        """Return the environment of these slugs deleted last, as it was.

        Raises:
            NamespaceUnknown: There is no such namespace.
            EnvironmentUnknown: None of these slugs was deleted.
            CatalogNameTaken: Something else has got the name since.
        """
        table = tables.environment
        await self._require_free(namespace, environment)
        async with self._database.writing() as connection:
            now = self._database.now()
            owner = await namespace_row(connection, namespace)
            newest = (
                select(table)
                .where(
                    table.c.path == searchable(f"{namespace}/{environment}"),
                    table.c.namespace_id == owner.id,
                    table.c.deleted_at.is_not(None),
                )
                .order_by(table.c.deleted_at.desc(), table.c.id.desc())
                .limit(1)
            )
            row = (await connection.execute(newest)).first()
            if row is None:
                raise EnvironmentUnknown(namespace, environment)
            found = await self._change(connection, row, namespace, {"deleted_at": None})
            away = f"{environment}#{row.id}"
            await rename_environment_grants(connection, namespace, away, environment, now)
            await add_event(
                connection,
                actor,
                now,
                "environment.restored",
                namespace=namespace,
                environment=environment,
            )
            change = await publish(connection, [found.path], now)
        await self._settled(change)
        return environment_of(found)

    async def move(
        self, actor: Actor, namespace: str, environment: str, to_namespace: str, to_name: str
    ) -> Environment:
        """Return the environment with another namespace and name, and all its versions.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
            NamespaceUnknown: There is no namespace ``to_namespace``.
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Something else has that name.
        """
        slug = environment_slug(to_name)
        await self._require_free(to_namespace, slug)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await environment_row(connection, namespace, environment)
            target = await namespace_row(connection, to_namespace)
            changed = {"namespace_id": target.id, "name": to_name, "slug": slug}
            found = await self._change(connection, row, to_namespace, changed)
            follows = slug if to_namespace == namespace else None
            await rename_environment_grants(connection, namespace, environment, follows, now)
            for place, slug_there in ((namespace, environment), (to_namespace, slug)):
                await add_event(
                    connection,
                    actor,
                    now,
                    "environment.moved",
                    namespace=place,
                    environment=slug_there,
                    # Who may see one of the places need not know of the other.
                    detail={"to": found.path} if place == to_namespace else None,
                )
            change = await publish(connection, {row.path: 0, found.path: 0}, now)
        await self._settled(change)
        return environment_of(found)

    async def copy(
        self, actor: Actor, namespace: str, environment: str, to_namespace: str, to_name: str
    ) -> Environment:
        """Return a new environment whose first version is the active one of another.

        No bytes are copied: it has the same key.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
            NamespaceUnknown: There is no namespace ``to_namespace``.
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Something else has that name.
        """
        slug = environment_slug(to_name)
        await self._require_free(to_namespace, slug)
        version = tables.version
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await environment_row(connection, namespace, environment)
            copied = await self._insert(connection, actor, to_namespace, to_name, row.description)
            await add_event(
                connection,
                actor,
                now,
                "environment.copied",
                namespace=to_namespace,
                environment=slug,
                detail={"of": row.path, "version": row.active_version},
            )
            if row.active_version is not None:
                active = (
                    await connection.execute(
                        select(version).where(
                            version.c.environment_id == row.id,
                            version.c.number == row.active_version,
                        )
                    )
                ).one()
                await connection.execute(
                    insert(version).values(
                        environment_id=copied.id,
                        number=1,
                        specification_id=active.specification_id,
                        key=active.key,
                        request_id=active.request_id,
                        state="built",
                        reason="copy",
                        note=f"a copy of {row.path}:v{row.active_version}",
                        requested_by=actor.name,
                        created_at=now,
                        started_at=now,
                        ended_at=now,
                    )
                )
                copied = await make_active(connection, actor, copied, 1, active.key, now)
            change = await publish(connection, [copied.path], now)
        await self._settled(change)
        return environment_of(copied)

    async def _insert(
        self, connection: AsyncConnection, actor: Actor, namespace: str, name: str, description: str
    ) -> Row[Any]:
        slug = environment_slug(name)
        owner = await namespace_row(connection, namespace)
        now = self._database.now()
        statement = insert(tables.environment).values(
            namespace_id=owner.id,
            name=name,
            slug=slug,
            path=f"{namespace}/{slug}",
            description=description,
            search_text=search_text(name, f"{namespace}/{slug}", description),
            created_by=actor.name,
            created_at=now,
            updated_at=now,
        )
        return await _written(connection, statement, f"{namespace}/{slug}")

    async def _change(
        self,
        connection: AsyncConnection,
        row: Row[Any],
        namespace: str,
        changed: dict[str, Any],
    ) -> Row[Any]:
        """Return a row with what is changed of it, and all that follows from that."""
        table = tables.environment
        whole = {**row._mapping, **changed}  # noqa: SLF001 (SQLAlchemy's name for a public thing)
        path = f"{namespace}/{whole['slug']}"
        statement = (
            update(table)
            .where(table.c.id == row.id)
            .values(
                **changed,
                path=path,
                search_text=search_text(whole["name"], path, whole["description"]),
                updated_at=self._database.now(),
                revision=row.revision + 1,
            )
        )
        return await _written(connection, statement, path)

    async def _require_free(self, namespace: str, slug: str) -> None:
        """Return if nothing was pushed where an environment would be.

        Raises:
            CatalogNameTaken: Something was.
        """
        if await self._repositories.has_repository(f"{namespace}/{slug}"):
            raise CatalogNameTaken(
                f"'{namespace}/{slug}' is a repository that images were pushed to: delete it first,"
                " or choose another name"
            )


def _has_package(package: str, version: str | None) -> Any:
    table = tables.lock_package
    statement = select(table.c.key).where(
        table.c.key == tables.environment.c.active_key, table.c.name == searchable(package).lower()
    )
    if version is not None:
        statement = statement.where(table.c.version == searchable(version))
    return statement.exists()


async def _written(connection: AsyncConnection, statement: Any, path: str) -> Row[Any]:
    """Return the row that was written.

    Raises:
        CatalogNameTaken: Another environment has the path.
    """
    try:
        return (await connection.execute(statement.returning(tables.environment))).one()
    except IntegrityError as exc:
        raise CatalogNameTaken(
            f"there is an environment '{path}' already: choose another name"
        ) from exc
