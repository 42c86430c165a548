"""Namespaces: what people and teams own."""

from registry.catalog.ports import RepositoryNames, Settled, settled_nowhere
from registry.catalog.records import Actor, Namespace, Page, Visibility
from registry.database import Database


class Namespaces:
    """Makes, finds, changes and deletes namespaces.

    Every change is one transaction with its event. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and then nothing was changed.

    Args:
        database: Where they are.
        repositories: What was pushed: a namespace gets no name that a repository has.
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
        self, actor: Actor, name: str, *, description: str = "", owner: str | None = None
    ) -> Namespace:
        """Return a new namespace. Its owner gets the role ``owner`` on all of it.

        Raises:
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Another namespace, or a pushed repository, has that name.
        """
        raise NotImplementedError

    async def list(
        self, visible: Visibility, *, search: str = "", after: str | None = None, limit: int = 50
    ) -> Page[Namespace]:
        """Return those that can be seen, by slug.

        Args:
            visible: What whoever asks may see; a namespace, if anything in it.
            search: What name, slug or description has in it; lower and upper case are the same.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        raise NotImplementedError

    async def get(self, slug: str) -> Namespace:
        """Return a namespace.

        Raises:
            NamespaceUnknown: There is none of that slug.
        """
        raise NotImplementedError

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
            CatalogNameInvalid: It cannot be named so.
            CatalogNameTaken: Something else has that name.
        """
        raise NotImplementedError

    async def delete(self, actor: Actor, slug: str) -> None:
        """Delete a namespace with all its environments; what is running in it is cancelled.

        Raises:
            NamespaceUnknown: There is none of that slug.
        """
        raise NotImplementedError

    async def restore(self, actor: Actor, slug: str) -> Namespace:
        """Return the namespace of that slug deleted last, with what was deleted with it.

        Raises:
            NamespaceUnknown: None of that slug was deleted.
            CatalogNameTaken: Something else has got the name since.
        """
        raise NotImplementedError
