"""Environments: named things in a namespace."""

from registry.catalog.ports import RepositoryNames, Settled, settled_nowhere
from registry.catalog.records import Actor, Environment, Page, Visibility
from registry.database import Database


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
        raise NotImplementedError

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
        raise NotImplementedError

    async def get(self, namespace: str, environment: str) -> Environment:
        """Return an environment.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def delete(self, actor: Actor, namespace: str, environment: str) -> None:
        """Delete an environment; it can be restored. What is running in it is cancelled.

        Raises:
            EnvironmentUnknown: There is none of these slugs.
        """
        raise NotImplementedError

    async def restore(self, actor: Actor, namespace: str, environment: str) -> Environment:
        """Return the environment of these slugs deleted last, as it was.

        Raises:
            NamespaceUnknown: There is no such namespace.
            EnvironmentUnknown: None of these slugs was deleted.
            CatalogNameTaken: Something else has got the name since.
        """
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError
