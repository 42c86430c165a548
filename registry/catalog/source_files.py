"""Files of sources: what they ask for, and what is wrong with them.

::

    put ─ text as before ───────────→ nothing
      ├─ cannot be read ────────────→ its problem is written down, and told of once
      ├─ text of an earlier version ─→ that one is active again, without a build
      └─ else ──────────────────────→ versions under way for an older text of it are cancelled,
                                      and one for this is asked for
    fail ─→ its problem, told of once          gone ─→ keep, archive or delete, as the source says
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from builder.errors import DomainError
from registry.catalog.adopting import environment_of_file, let_go
from registry.catalog.file_versions import follow_text
from registry.catalog.journal import publish
from registry.catalog.limits import UNLIMITED, Limits
from registry.catalog.lookup import MAX_PAGE, cursor, page_after, searchable
from registry.catalog.namespaces import Namespaces
from registry.catalog.ports import MayPull, RepositoryNames, Specifications
from registry.catalog.records import SERVICE, Actor, Page
from registry.catalog.slugs import environment_slug, slug_of
from registry.catalog.source_patterns import MAX_PATH_BYTES
from registry.catalog.source_records import FileState
from registry.catalog.source_rows import file_of, files_of, source_row, tell_of_source
from registry.database import Database, tables
from registry.errors import CatalogNameTaken, NamespaceUnknown, SourceInvalid, SourceUnknown
from registry.requests.requests import RequirePull

_BATCH: Final = 1000
#: A longer sentence is cut.
_MAX_SENTENCE: Final = 2000


class SourceFiles:
    """Takes what files of sources say; whoever calls has the source, or may send its files.

    Calling anything again with the same changes nothing, and tells nobody. Nothing waits until
    other servers know of a change: they do within a second. All methods raise
    :class:`DatabaseUnavailable` when the database does not answer, and :class:`SourceUnknown` when
    there is no such source, or another server has it by now.

    Args:
        database: Where they are.
        namespaces: Makes namespaces that files name.
        repositories: What was pushed: an environment gets no name that a repository has.
        specifications: Reads what files ask for.
        may_pull: Says what whoever has set a source last may pull.
        nudge: Has this server look for versions to make.
        limits: Of namespaces that have no quota of their own.
    """

    def __init__(
        self,
        database: Database,
        namespaces: Namespaces,
        repositories: RepositoryNames,
        specifications: Specifications,
        may_pull: MayPull,
        nudge: Callable[[], None] = lambda: None,
        limits: Limits = UNLIMITED,
    ) -> None:
        self._database = database
        self._namespaces = namespaces
        self._repositories = repositories
        self._specifications = specifications
        self._may_pull = may_pull
        self._nudge = nudge
        self._limits = limits

    async def known(self, source: int) -> Mapping[str, FileState]:
        """Return the files of a source that were there when it was looked at last, by path."""
        table = tables.source_file
        found: dict[str, FileState] = {}
        last = 0
        while True:
            statement = (
                files_of(source)
                .where(table.c.id > last, table.c.gone_at.is_(None))
                .order_by(table.c.id)
                .limit(_BATCH)
            )
            async with self._database.reading() as connection:
                rows = (await connection.execute(statement)).all()
            found |= {row.path: file_of(row) for row in rows}
            if len(rows) < _BATCH:
                return found
            last = rows[-1].id

    async def list(
        self,
        source: int,
        *,
        has_problem: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[FileState]:
        """Return files of a source that are there, by path.

        Args:
            source: Which.
            has_problem: Whether only those that cannot be used.
            after: Where the page before ended.
            limit: The most to return.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        table = tables.source_file
        limit = max(1, min(limit, MAX_PAGE))
        statement = (
            files_of(source)
            .where(table.c.path > page_after(after), table.c.gone_at.is_(None))
            .order_by(table.c.path)
            .limit(limit + 1)
        )
        if has_problem:
            statement = statement.where(table.c.problem != "")
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        more = cursor(rows[limit - 1].path) if len(rows) > limit else None
        return Page([file_of(row) for row in rows[:limit]], more)

    async def put(
        self,
        source: int,
        path: str,
        data: bytes,
        *,
        environment: str,
        namespace: str | None = None,
        actor: Actor = SERVICE,
        may_pull: RequirePull | None = None,
        by: str | None = None,
    ) -> FileState:
        """Return what became of a file that has these bytes.

        What cannot be used is its ``problem``; its environment stays as it is.

        Args:
            source: The number of its source.
            path: Relative to the source, with ``/``.
            data: All of it.
            environment: The name of the environment that it defines.
            namespace: The name of that one's namespace, where the source has none of its own.
            actor: Who sends it; the service itself where it looks.
            may_pull: Says what they may pull by what they sent it with; ``None``: whose rights
                count is asked by their name.
            by: Which server has looked; ``None``: it was sent.

        Raises:
            SourceInvalid: No file has such a path.
            RegistryError: It cannot be said, as something does not answer: try again.
        """
        _require_path(path)
        sha256 = hashlib.sha256(data).hexdigest()
        async with self._database.reading() as connection:
            row = await _source(connection, source, by)
            file = await _file(connection, source, path)
        try:
            place, slug = _place(row, namespace), environment_slug(environment)
            known = f"{slug_of(place) if row.namespace is None else place}/{slug}"
            if file is not None and _is_as_before(file, sha256, known):
                return file_of(file)
            asker = actor.name if actor.name is not None else row.updated_by
            await self._specifications.check(data, may_pull=may_pull or self._may_pull(asker))
            namespace_slug = await self._namespace(row, file, place)
            await self._require_free(file, f"{namespace_slug}/{slug}")
            return await self._take(
                actor, source, path, data, sha256, (namespace_slug, environment), asker, by
            )
        except DomainError as error:
            if error.kind in {"unavailable", "internal"}:
                raise
            return await self.fail(source, path, error.message, actor=actor, by=by)

    async def fail(
        self,
        source: int,
        path: str,
        problem: str,
        *,
        actor: Actor = SERVICE,
        by: str | None = None,
    ) -> FileState:
        """Write down why a file cannot be used, and return what is known of it.

        Raises:
            SourceInvalid: No file has such a path.
        """
        _require_path(path)
        sentence = searchable(problem)[:_MAX_SENTENCE] or "it cannot be used"
        async with self._database.reading() as connection:
            known = await _file(connection, source, path)
            if known is not None and known.problem == sentence and known.gone_at is None:
                return file_of(known)
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _source(connection, source, by)
            before = await _file(connection, source, path)
            await _write(connection, source, path, now, problem=sentence)
            file = await _file(connection, source, path)
            assert file is not None
            if before is None or not before.problem or before.gone_at is not None:
                await _tell(connection, actor, now, "source.failed", row, file, sentence)
            if file.environment is not None:
                await publish(connection, [file.environment], now)
        return file_of(file)

    async def gone(
        self, source: int, path: str, *, actor: Actor = SERVICE, by: str | None = None
    ) -> None:
        """Do with the environment of a file that is not there any more what its source says.

        Raises:
            SourceInvalid: No file has such a path.
        """
        _require_path(path)
        table = tables.source_file
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _source(connection, source, by)
            file = await _file(connection, source, path)
            if file is None or file.gone_at is not None:
                return
            if file.problem:
                await _tell(connection, actor, now, "source.recovered", row, file, file.problem)
            mine = table.c.id == file.id
            if file.environment_id is None:
                await connection.execute(delete(table).where(mine))
                return
            await connection.execute(update(table).where(mine).values(gone_at=now, problem=""))
            path_of_it = await let_go(connection, actor, row, file, now)
            await publish(connection, [path_of_it] if path_of_it else [], now)

    async def _namespace(self, source: Row[Any], file: Row[Any] | None, place: str) -> str:
        """Return the slug of the namespace of a file's environment, which there is by then.

        Raises:
            SourceInvalid: It was deleted, and its file did not go with it.
            CatalogError: There can be none of that name.
        """
        if source.namespace is not None:
            return place
        slug = slug_of(place)
        try:
            await self._namespaces.get(slug)
        except NamespaceUnknown:
            if file is not None and file.sha256 and file.gone_at is None:
                raise SourceInvalid(
                    f"the namespace '{slug}' was deleted: restore it, or take the file away, too"
                ) from None
            try:
                await self._namespaces.create(SERVICE, place)
            except CatalogNameTaken:
                await self._namespaces.get(slug)  # another server has made it, or nobody has
        return slug

    async def _require_free(self, file: Row[Any] | None, path: str) -> None:
        """Return if nothing was pushed where an environment would be.

        Raises:
            SourceInvalid: Something was.
        """
        if file is not None and file.environment == path:
            return
        if await self._repositories.has_repository(path):
            raise SourceInvalid(
                f"'{path}' is a repository that images were pushed to: give the file another name"
            )

    async def _take(
        self,
        actor: Actor,
        source: int,
        path: str,
        data: bytes,
        sha256: str,
        place: tuple[str, str],
        asker: str | None,
        by: str | None,
    ) -> FileState:
        async with self._database.writing() as connection:
            now = self._database.now()
            row = await _source(connection, source, by)
            file = await _file(connection, source, path)
            environment = await environment_of_file(
                connection,
                actor,
                row,
                file,
                namespace=place[0],
                name=place[1],
                sha256=sha256,
                now=now,
                limits=self._limits,
            )
            is_known = file is not None and file.gone_at is None and file.sha256 == sha256
            if not (is_known and file is not None and file.environment_id == environment.id):
                await follow_text(
                    connection,
                    actor,
                    row,
                    environment,
                    data,
                    now,
                    path=path,
                    asker=asker,
                    limits=self._limits,
                )
            await _write(
                connection, source, path, now, sha256=sha256, environment_id=environment.id
            )
            if file is not None and file.problem:
                await _tell(connection, actor, now, "source.recovered", row, file, file.problem)
            await publish(connection, [environment.path], now)
            written = await _file(connection, source, path)
            assert written is not None
        self._nudge()
        return file_of(written)


def _place(source: Row[Any], namespace: str | None) -> str:
    """Return the name of the namespace of a file's environment.

    Raises:
        SourceInvalid: Nothing says it, or it is another than the source's.
    """
    if source.namespace is None:
        if namespace is None:
            raise SourceInvalid("nothing says in which namespace the file's environment is")
        return namespace
    if namespace not in {None, source.namespace}:
        raise SourceInvalid(
            f"the environments of source '{source.name}' are all in '{source.namespace}'"
        )
    return str(source.namespace)


def _is_as_before(file: Row[Any], sha256: str, environment: str) -> bool:
    is_good = file.gone_at is None and not file.problem
    return is_good and bool((file.sha256, file.environment) == (sha256, environment))


async def _source(connection: AsyncConnection, source: int, by: str | None) -> Row[Any]:
    """Return the row of a source.

    Raises:
        SourceUnknown: There is none, or another server looks at it by now: what was read before
            then is older than what that one reads.
    """
    row = await source_row(connection, source, is_counted=False)
    if by is not None and row.claimed_by != by:
        raise SourceUnknown(source)
    return row


async def _file(connection: AsyncConnection, source: int, path: str) -> Row[Any] | None:
    statement = files_of(source).where(tables.source_file.c.path == path)
    return (await connection.execute(statement)).first()


async def _write(
    connection: AsyncConnection, source: int, path: str, now: datetime, **values: Any
) -> None:
    """Write what is known of a file: what is not given stays, but its problem and its end."""
    table = tables.source_file
    values = {"problem": "", "gone_at": None, "seen_at": now, **values}
    mine = (table.c.source_id == source) & (table.c.path == path)
    changed = await connection.execute(update(table).where(mine).values(**values))
    if not changed.rowcount:
        await connection.execute(insert(table).values(source_id=source, path=path, **values))


async def _tell(
    connection: AsyncConnection,
    actor: Actor,
    now: datetime,
    action: str,
    source: Row[Any],
    file: Row[Any],
    problem: str,
) -> None:
    await tell_of_source(
        connection,
        actor,
        now,
        action,
        source,
        environment=file.environment,
        detail={"path": file.path, "problem": problem},
    )


def _require_path(path: str) -> None:
    """Return if a file can have a path.

    Raises:
        SourceInvalid: None can.
    """
    is_long = len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES
    is_odd = searchable(path) != path or any(ord(letter) < 32 for letter in path)
    parts = path.split("/")
    if is_long or is_odd or any(part in {"", ".", ".."} for part in parts):
        raise SourceInvalid(
            "a file of a source has a path relative to it, as 'forecast/environment.yml', of at"
            f" most {MAX_PATH_BYTES} bytes"
        )
