"""What clients of conda-store have set: for the service, for namespaces, for environments."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.catalog.journal import add_event
from registry.catalog.lookup import environment_row, namespace_row
from registry.catalog.records import Actor
from registry.database import Database, tables

#: A namespace's own notes, which conda-store keeps with it: no setting.
_METADATA: Final = "metadata"


class CondaStoreSettings:
    """Keeps settings by their keys, in three scopes.

    What keys there are, and what they mean, is the caller's business. All methods raise
    :class:`~registry.errors.DatabaseUnavailable` when it does not answer,
    :class:`~registry.errors.NamespaceUnknown` when there is no such namespace, and
    :class:`~registry.errors.EnvironmentUnknown` when there is no such environment.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def layers(
        self, namespace: str | None = None, environment: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return what was set: for the service, then for a namespace, then for an environment.

        Args:
            namespace: Its slug; ``None``: what was set for the service alone.
            environment: Its slug; ``None``: what was set for a namespace at most.
        """
        async with self._database.reading() as connection:
            scopes = await _scopes(connection, namespace, environment)
            layers = [await _said(connection, scope) for scope in scopes]
        return [{key: layer[key] for key in layer if key != _METADATA} for layer in layers]

    async def set(
        self,
        actor: Actor,
        values: Mapping[str, Any],
        *,
        namespace: str | None = None,
        environment: str | None = None,
    ) -> None:
        """Set keys of one scope; what is not named stays as it is.

        Args:
            actor: Who sets them.
            values: By their keys.
            namespace: Its slug; ``None``: they are the service's.
            environment: Its slug; ``None``: they are the namespace's.
        """
        async with self._database.writing() as connection:
            now = self._database.now()
            scope = (await _scopes(connection, namespace, environment))[-1]
            known = await _said(connection, scope)
            changed = {
                key: value
                for key, value in values.items()
                if key not in known or known[key] != value
            }
            table = tables.conda_store_setting
            for key, value in changed.items():
                written = {"value": value, "updated_by": actor.name, "updated_at": now}
                await connection.execute(
                    update(table).where(_is_of(scope), table.c.key == key).values(written)
                    if key in known
                    else insert(table).values(**scope, key=key, **written)
                )
            if changed:
                before = {key: known[key] for key in changed if key in known}
                await add_event(
                    connection,
                    actor,
                    now,
                    "setting.set",
                    namespace=namespace,
                    environment=environment,
                    detail={"before": before, "after": changed},
                )

    async def metadata(self, namespace: str) -> Mapping[str, Any] | None:
        """Return what was noted of a namespace; ``None``: nothing."""
        async with self._database.reading() as connection:
            scope = (await _scopes(connection, namespace, None))[-1]
            found: Mapping[str, Any] | None = (await _said(connection, scope)).get(_METADATA)
            return found

    async def set_metadata(
        self, actor: Actor, namespace: str, metadata: Mapping[str, Any] | None
    ) -> None:
        """Note something of a namespace, in place of what was noted before."""
        await self.set(actor, {_METADATA: metadata}, namespace=namespace)


_Scope = Mapping[str, int | None]


async def _scopes(
    connection: AsyncConnection, namespace: str | None, environment: str | None
) -> list[_Scope]:
    """Return whose rows are asked for, from the service to what is named."""
    scopes: list[_Scope] = [{"namespace_id": None, "environment_id": None}]
    if namespace is not None:
        found: Row[Any] = await namespace_row(connection, namespace)
        scopes.append({"namespace_id": found.id, "environment_id": None})
        if environment is not None:
            found = await environment_row(connection, namespace, environment)
            scopes.append({"namespace_id": None, "environment_id": found.id})
    return scopes


async def _said(connection: AsyncConnection, scope: _Scope) -> dict[str, Any]:
    table = tables.conda_store_setting
    statement = select(table.c.key, table.c.value).where(_is_of(scope)).order_by(table.c.key)
    return {row.key: row.value for row in await connection.execute(statement)}


def _is_of(scope: _Scope) -> ColumnElement[bool]:
    columns = tables.conda_store_setting.c
    return and_(
        *(
            columns[name].is_(None) if number is None else columns[name] == number
            for name, number in scope.items()
        )
    )
