"""What clients of conda-store set and delete; versions that were made by another system."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
IMPORTED = sa.text("origin IS NOT NULL")
OF_SERVICE = sa.text("namespace_id IS NULL AND environment_id IS NULL")


def upgrade() -> None:
    """Make a table, and add columns; nothing that there is changes."""
    op.add_column("version", sa.Column("origin", sa.Text(), nullable=True))
    op.add_column("version", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        *("uq_version_origin", "version", ["origin"]),
        unique=True,
        sqlite_where=IMPORTED,
        postgresql_where=IMPORTED,
    )
    table = "conda_store_setting"
    op.create_table(
        table,
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("namespace_id", IDENTITY, nullable=True),
        sa.Column("environment_id", IDENTITY, nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", JSON, nullable=True),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "namespace_id IS NULL OR environment_id IS NULL", name=op.f(f"ck_{table}_scope")
        ),
        *(
            sa.ForeignKeyConstraint(
                [f"{other}_id"], [f"{other}.id"], name=op.f(f"fk_{table}_{other}_id")
            )
            for other in ("namespace", "environment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        *(
            sa.UniqueConstraint(f"{of}_id", "key", name=f"uq_{table}_{of}")
            for of in ("namespace", "environment")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        *(f"uq_{table}_of_service", table, ["key"]),
        unique=True,
        sqlite_where=OF_SERVICE,
        postgresql_where=OF_SERVICE,
    )
