"""Environments: named things in a namespace."""

from collections.abc import Callable
from typing import Any, Literal

from registry.catalog.archiving import archive, unarchive
from registry.catalog.creating import create_environment
from registry.catalog.environment_rows import (
    change_environment,
    copy_active,
    deleted_row,
    insert_environment,
)
from registry.catalog.environment_search import page_of_environments, search_statement
from registry.catalog.journal import add_event, changes, publish
from registry.catalog.limits import UNLIMITED, Limits, require_new_environment
from registry.catalog.lookup import (
    MAX_PAGE,
    checked_text,
    environment_of,
    environment_row,
    namespace_row,
    version_of,
)
from registry.catalog.managed import require_unmanaged
from registry.catalog.ownership import rename_environment_grants
from registry.catalog.ports import RepositoryNames, Settled, settled_nowhere
from registry.catalog.queueing import queue_version
from registry.catalog.records import Actor, Environment, Page, Version, Visibility
from registry.catalog.removing import bring_back, remove_environment
from registry.catalog.sizes import counted, keys_of_environment
from registry.catalog.slugs import environment_slug
from registry.database import Database
from registry.errors import (
    CatalogNameTaken,
    EnvironmentNotDeleted,
    EnvironmentUnknown,
    RevisionConflict,
)


class Environments:
    """Makes, finds, changes, moves, copies and deletes environments.

    What would give a namespace more than its quota raises :class:`QuotaExceeded`, or
    :class:`BuildsUsedUp` when it has had its builds of the day, and nothing was changed.
    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and then nothing was changed.

    Args:
        database: Where they are.
        repositories: What was pushed: an environment gets no name that a repository has.
        settled: Waits until all servers know of a change.
        nudge: Has this server look for versions to make.
        limits: Of namespaces that have no quota of their own.
    """

    def __init__(
        self,
        database: Database,
        repositories: RepositoryNames,
        settled: Settled = settled_nowhere,
        nudge: Callable[[], None] = lambda: None,
        limits: Limits = UNLIMITED,
    ) -> None:
        self._database = database
        self._repositories = repositories
        self._settled = settled
        self._nudge = nudge
        self._limits = limits

    async def create(
        self, actor: Actor, namespace: str, name: str, *, description: str = ""
    ) -> Environment:
        """Return a new environment, without any version.

        Raises:
            NamespaceUnknown: There is no such namespace.
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Another environment, or a pushed repository, has that name.
        """
        checked_text("description", description)
        await self._require_free(namespace, environment_slug(name))
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await create_environment(
                connection, actor, namespace, name, description, now, self._limits
            )
            change = await publish(connection, [row.path], now)
        await self._settled(change)
        return environment_of(row)

    async def create_from(
        self,
        actor: Actor,
        namespace: str,
        name: str,
        data: bytes,
        *,
        description: str = "",
        note: str = "",
    ) -> tuple[Environment, Version]:
        """Return a new environment and its first version: both are there, or neither is.

        Args:
            actor: Who makes it.
            namespace: The slug of its namespace.
            name: Its name.
            data: What the version is asked for by; see :meth:`Versions.ask`.
            description: What it is for.
            note: What is said of the version.

        Raises:
            RegistryError: As :meth:`create`.
        """
        checked_text("note", note)
        checked_text("description", description)
        await self._require_free(namespace, environment_slug(name))
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await create_environment(
                connection, actor, namespace, name, description, now, self._limits
            )
            first = await queue_version(
                connection, actor, row, data, now, note=note, limits=self._limits
            )
            change = await publish(connection, [row.path], now)
        self._nudge()
        await self._settled(change)
        return environment_of(row), version_of(first)

    async def search(
        self,
        visible: Visibility,
        *,
        namespace: str | None = None,
        search: str = "",
        package: str | None = None,
        version: str | None = None,
        within: Visibility | None = None,
        is_building: bool = False,
        include_deleted: bool | Literal["only"] = False,
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
            within: What of that is wanted; ``None``: all.
            is_building: Whether only those of which a version is being made, or waits.
            include_deleted: Whether also what was deleted and can be restored; ``"only"``: that
                alone.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        limit = max(1, min(limit, MAX_PAGE))
        statement = search_statement(
            visible,
            namespace=namespace,
            search=search,
            package=package,
            version=version,
            within=within,
            is_building=is_building,
            include_deleted=include_deleted,
            after=after,
            limit=limit,
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return page_of_environments(rows, limit)

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
        test_command: str | None = None,
        archived: bool | None = None,
    ) -> Environment:
        """Return the environment with what is given changed; ``None`` leaves a thing as it is.

        Args:
            actor: Who changes it.
            namespace: The slug of its namespace.
            environment: Its slug.
            revision: What it must have; ``None``: any.
            description: Its new description.
            name: Its new name; the address follows it, at once.
            test_command: What its next proposals have to pass, for a shell; empty: nothing.
            archived: Whether it is kept as it is, and takes no new version.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
            EnvironmentManaged: It would get another name, and a file defines it.
            RevisionConflict: It has another revision.
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Something else has that name.
        """
        new = environment if name is None else environment_slug(name)
        checked_text("description", description or "")
        checked_text("test command", test_command or "")
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
                "test_command": row.test_command if test_command is None else test_command,
            }
            detail = changes(row, changed)
            is_same = archived in {None, row.archived_at is not None}
            if not detail["after"] and is_same:
                return environment_of(row)
            if {"name", "slug"} & detail["after"].keys():
                await require_unmanaged(connection, row)
            found = row
            if detail["after"]:
                found = await change_environment(connection, row, namespace, changed, now)
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
            if not is_same:
                turn = archive if archived else unarchive
                found = await turn(connection, actor, found, now)
            change = await publish(connection, dict.fromkeys((row.path, found.path)), now)
        await self._settled(change)
        return environment_of(found)

    async def delete(
        self, actor: Actor, namespace: str, environment: str, *, revision: int | None = None
    ) -> None:
        """Delete an environment; it can be restored. What is running in it is cancelled.

        Args:
            actor: Who deletes it.
            namespace: The slug of its namespace.
            environment: Its slug.
            revision: What it must have; ``None``: any.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
            EnvironmentManaged: A file defines it.
            RevisionConflict: It has another revision.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await environment_row(connection, namespace, environment)
            if revision not in {None, row.revision}:
                raise RevisionConflict(row.path, row.revision)
            await require_unmanaged(connection, row)
            await remove_environment(connection, actor, row, now)
            change = await publish(connection, [row.path], now)
        await self._settled(change)

    async def restore(self, actor: Actor, namespace: str, environment: str) -> Environment:
        """Return the environment of these slugs deleted last, as it was.

        Raises:
            NamespaceUnknown: There is no such namespace.
            EnvironmentUnknown: There never was one of these slugs.
            EnvironmentNotDeleted: There is one, and none was deleted.
            CatalogNameTaken: Something else has got the name since.
        """
        await self._require_free(namespace, environment)
        async with self._database.writing() as connection:
            now = self._database.now()
            try:
                row = await deleted_row(connection, namespace, environment)
            except EnvironmentUnknown:
                there = await environment_row(connection, namespace, environment)
                raise EnvironmentNotDeleted(there.path) from None
            found = await bring_back(connection, actor, row, now, self._limits)
            change = await publish(connection, [found.path], now)
        await self._settled(change)
        return environment_of(found)

    async def move(
        self, actor: Actor, namespace: str, environment: str, to_namespace: str, to_name: str
    ) -> Environment:
        """Return the environment with another namespace and name, and all its versions.

        Where it is already, nothing happens but that it is written otherwise.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
            EnvironmentManaged: A file defines it.
            NamespaceUnknown: There is no namespace ``to_namespace``.
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Something else has that name.
        """
        slug = environment_slug(to_name)
        if (to_namespace, slug) == (namespace, environment):
            return await self.update(actor, namespace, environment, name=to_name)
        await self._require_free(to_namespace, slug)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await environment_row(connection, namespace, environment)
            await require_unmanaged(connection, row)
            target = await namespace_row(connection, to_namespace)
            changed = {"namespace_id": target.id, "name": to_name, "slug": slug}
            if to_namespace == namespace:
                found = await change_environment(connection, row, target.slug, changed, now)
            else:
                keys = await keys_of_environment(connection, row.id)
                async with (
                    counted(connection, row.namespace_id, keys),
                    counted(connection, target.id, keys),
                ):
                    found = await change_environment(connection, row, target.slug, changed, now)
                await require_new_environment(connection, found, self._limits)
            follows = slug if to_namespace == namespace else None
            await rename_environment_grants(
                connection, namespace, environment, follows, now, taken_by=actor
            )
            for place, slug_there in ((namespace, environment), (to_namespace, slug)):
                await add_event(
                    connection,
                    actor,
                    now,
                    "environment.moved",
                    namespace=place,
                    environment=slug_there,
                    environment_id=row.id,
                    # Who may see one of the places need not know of the other.
                    detail={"to": found.path} if place == to_namespace else None,
                )
            change = await publish(connection, dict.fromkeys((row.path, found.path)), now)
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
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await environment_row(connection, namespace, environment)
            copied = await insert_environment(
                connection, actor, to_namespace, to_name, row.description, now
            )
            await add_event(
                connection,
                actor,
                now,
                "environment.copied",
                namespace=to_namespace,
                environment=slug,
            )
            keys = [row.active_key] if row.active_key is not None else []
            async with counted(connection, copied.namespace_id, keys):
                copied = await copy_active(connection, actor, row, copied, now)
            await require_new_environment(connection, copied, self._limits)
            change = await publish(connection, [copied.path], now)
        await self._settled(change)
        return environment_of(copied)

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
