"""Of which namespace and environment an event is, and a document for each namespace.

What copies told of where they come from is taken out.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: A name can have been another's before: only what happened since then is of the one that has it.
NAMESPACES = """
UPDATE event SET namespace_id = (
    SELECT namespace.id FROM namespace
    WHERE namespace.slug = event.namespace AND namespace.deleted_at IS NULL
    AND namespace.created_at <= event.at
)
WHERE namespace IS NOT NULL
"""
ENVIRONMENTS = """
UPDATE event SET environment_id = (
    SELECT environment.id FROM environment
    WHERE environment.path = event.namespace || '/' || event.environment
    AND environment.deleted_at IS NULL AND environment.created_at <= event.at
)
WHERE namespace IS NOT NULL AND environment IS NOT NULL
"""
DOCUMENTS = """
INSERT INTO outbox (path, generation, created_at)
SELECT slug, 1, created_at FROM namespace WHERE deleted_at IS NULL
"""
#: Copies told everybody who saw them of which environment they were.
COPIES = (
    "UPDATE version SET note = 'a copy' WHERE reason = 'copy' AND note LIKE 'a copy of %'",
    "UPDATE event SET detail = NULL WHERE action = 'environment.copied'",
)
#: Of each day the last is kept: a tag with a date is what was active when the day was over.
ACTIVATIONS = """
DELETE FROM activation WHERE id NOT IN (
    SELECT max(id) FROM activation GROUP BY environment_id, {day}
)
"""
DAYS = {"sqlite": "substr(at, 1, 10)", "postgresql": "(at AT TIME ZONE 'UTC')::date"}


def upgrade() -> None:
    """Add two columns, fill them where that is known, and have documents written."""
    op.add_column("event", sa.Column("namespace_id", IDENTITY, nullable=True))
    op.add_column("event", sa.Column("environment_id", IDENTITY, nullable=True))
    op.create_index("ix_event_namespace_id", "event", ["namespace_id", "environment_id", "id"])
    for statement in (NAMESPACES, ENVIRONMENTS, DOCUMENTS, *COPIES):
        op.execute(statement)
    op.execute(ACTIVATIONS.format(day=DAYS[op.get_bind().dialect.name]))
