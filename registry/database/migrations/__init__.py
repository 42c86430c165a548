"""Brings the tables of a database to the version that the program needs.

One file for each revision lies in ``versions/``: it says what changes, by Alembic's operations, and
imports nothing of the program, so that it does the same for ever.
"""

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from registry.database.migrations.versions import HEAD
from registry.database.tables import metadata

#: Where Alembic notes the revision.
_NOTED_IN: Final = (
    "CREATE TABLE alembic_version"
    " (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)"
)


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the tables; ``None`` if there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Bring the tables to ``revision``, within the transaction of ``connection``.

    Where there are none yet, they are made as they are now, which takes a third of the time.
    """
    if revision == HEAD and revision_of(connection) is None:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(text(_NOTED_IN))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        return
    # Half a second of imports, which a server with a database that is as it should be saves.
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(__file__).parent))

    def steps(found: Any, _context: MigrationContext) -> Any:
        # What alembic's own command does; there is no other name for it.
        return scripts._upgrade_revs(revision, found)  # noqa: SLF001

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()
