"""Brings the tables of a database to the version that the program needs.

One file for each revision lies in ``versions/``: it says what changes, by Alembic's operations, and
imports nothing of the program, so that it does the same for ever.
"""

from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from registry.database.migrations.versions import HEAD


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the tables; ``None`` if there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Bring the tables to ``revision``, within the transaction of ``connection``."""
    scripts = ScriptDirectory(str(Path(__file__).parent))

    def steps(found: Any, _context: MigrationContext) -> Any:
        # What alembic's own command does; there is no other name for it.
        return scripts._upgrade_revs(revision, found)  # noqa: SLF001

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()
