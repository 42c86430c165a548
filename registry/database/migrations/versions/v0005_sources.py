"""Sources, schedules, proposals, webhooks; which environments files define."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
ALIVE = sa.text("deleted_at IS NULL")
OF_ALL = sa.text("deleted_at IS NULL AND namespace_id IS NULL")
OPEN = sa.text("state = 'open'")
UNTESTED = sa.text("state = 'open' AND test_state IN ('waiting', 'running')")
WANTED = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Make tables, and add columns; nothing that there is changes."""
    _sources()
    _schedules()
    _proposals()
    _webhooks()
    _columns()


def _sources() -> None:
    op.create_table(
        "source",
        _identity(),
        sa.Column("namespace_id", IDENTITY, nullable=True),
        _text("name"),
        _text("kind"),
        _text("location"),
        _text("branch"),
        _text("folder"),
        sa.Column("patterns", JSON, nullable=True),
        _text("removed"),
        _text("edits"),
        sa.Column("activate", sa.Integer(), nullable=False),
        sa.Column("is_declared", sa.Integer(), nullable=False),
        _text("hook_secret", is_optional=True),
        _text("problem"),
        _text("commit"),
        _at("looked_at", is_optional=True),
        _at("asked_at", is_optional=True),
        _text("claimed_by", is_optional=True),
        _at("claimed_until", is_optional=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("created_by", is_optional=True),
        _text("updated_by", is_optional=True),
        _at("created_at"),
        _at("updated_at"),
        _at("deleted_at", is_optional=True),
        sa.CheckConstraint("kind IN ('directory', 'git', 'remote')", name=op.f("ck_source_kind")),
        _foreign("source", "namespace"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_source_alive",
        "source",
        ["namespace_id", "name"],
        unique=True,
        sqlite_where=ALIVE,
        postgresql_where=ALIVE,
    )
    op.create_index(
        "uq_source_of_all",
        "source",
        ["name"],
        unique=True,
        sqlite_where=OF_ALL,
        postgresql_where=OF_ALL,
    )
    op.create_table(
        "source_file",
        _identity(),
        sa.Column("source_id", IDENTITY, nullable=False),
        _text("path"),
        sa.Column("environment_id", IDENTITY, nullable=True),
        _text("sha256"),
        _text("problem"),
        _at("seen_at"),
        _at("gone_at", is_optional=True),
        _foreign("source_file", "source"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_file")),
        sa.UniqueConstraint("source_id", "path", name="uq_source_file_path"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_source_file_environment_id", "source_file", ["environment_id"], unique=False
    )


def _schedules() -> None:
    op.create_table(
        "schedule",
        sa.Column("environment_id", IDENTITY, autoincrement=False, nullable=False),
        _text("cron"),
        _text("timezone"),
        _text("then"),
        sa.Column("on_advisories", sa.Integer(), nullable=False),
        sa.Column("is_paused", sa.Integer(), nullable=False),
        _at("next_at", is_optional=True),
        _at("last_at", is_optional=True),
        sa.Column("last_version", sa.Integer(), nullable=True),
        _text("problem"),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("updated_by", is_optional=True),
        _at("created_at"),
        _at("updated_at"),
        _foreign("schedule", "environment"),
        sa.PrimaryKeyConstraint("environment_id", name=op.f("pk_schedule")),
    )
    op.create_index(op.f("ix_schedule_next_at"), "schedule", ["next_at"], unique=False)


def _proposals() -> None:
    op.create_table(
        "proposal",
        _identity(),
        sa.Column("environment_id", IDENTITY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("base_number", sa.Integer(), nullable=True),
        _text("state"),
        sa.Column("is_automatic", sa.Integer(), nullable=False),
        _at("created_at"),
        _text("decided_by", is_optional=True),
        _at("decided_at", is_optional=True),
        _text("decision"),
        _text("test_command"),
        _text("test_state"),
        _text("test_message"),
        _text("test_output"),
        _at("tested_at", is_optional=True),
        sa.Column("test_ms", IDENTITY, nullable=True),
        _text("claimed_by", is_optional=True),
        _at("claimed_until", is_optional=True),
        sa.CheckConstraint(
            "state IN ('open', 'activated', 'rejected', 'replaced')", name=op.f("ck_proposal_state")
        ),
        sa.CheckConstraint(
            "test_state IN ('none', 'waiting', 'running', 'passed', 'failed')",
            name=op.f("ck_proposal_test_state"),
        ),
        _foreign("proposal", "environment"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
        sa.UniqueConstraint("environment_id", "number", name="uq_proposal_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_proposal_state", "proposal", ["state", "id"], unique=False)
    op.create_index(
        "ix_proposal_untested",
        "proposal",
        ["id"],
        unique=False,
        sqlite_where=UNTESTED,
        postgresql_where=UNTESTED,
    )
    op.create_index(
        "uq_proposal_open",
        "proposal",
        ["environment_id"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )


def _webhooks() -> None:
    op.create_table(
        "webhook",
        _identity(),
        sa.Column("namespace_id", IDENTITY, nullable=True),
        _text("environment_glob"),
        _text("kind"),
        _text("url"),
        _text("format"),
        sa.Column("actions", JSON, nullable=True),
        _text("secret"),
        _text("old_secret", is_optional=True),
        _at("old_secret_until", is_optional=True),
        sa.Column("is_enabled", sa.Integer(), nullable=False),
        _text("problem"),
        sa.Column("event_id", IDENTITY, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _at("next_at", is_optional=True),
        _at("failing_since", is_optional=True),
        _text("claimed_by", is_optional=True),
        _at("claimed_until", is_optional=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        _text("created_by", is_optional=True),
        _at("created_at"),
        _at("updated_at"),
        _at("deleted_at", is_optional=True),
        sa.CheckConstraint("format IN ('standard', 'chat')", name=op.f("ck_webhook_format")),
        sa.CheckConstraint("kind IN ('webhook', 'mail')", name=op.f("ck_webhook_kind")),
        _foreign("webhook", "namespace"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhook_namespace_id", "webhook", ["namespace_id", "id"], unique=False)
    op.create_table(
        "delivery",
        _identity(),
        sa.Column("webhook_id", IDENTITY, nullable=False),
        sa.Column("event_id", IDENTITY, nullable=False),
        _text("state"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        _text("message"),
        _text("answer"),
        sa.Column("duration_ms", IDENTITY, nullable=True),
        _at("created_at"),
        _at("ended_at", is_optional=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'delivered', 'failed')", name=op.f("ck_delivery_state")
        ),
        _foreign("delivery", "webhook"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_delivery_waiting",
        "delivery",
        ["id"],
        unique=False,
        sqlite_where=WANTED,
        postgresql_where=WANTED,
    )
    op.create_index("ix_delivery_webhook_id", "delivery", ["webhook_id", "id"], unique=False)


def _columns() -> None:
    op.add_column("environment", sa.Column("source_id", IDENTITY, nullable=True))
    op.add_column("environment", _at("archived_at", is_optional=True))
    op.add_column(
        "environment",
        sa.Column("test_command", sa.Text(), server_default=sa.text("''"), nullable=False),
    )
    op.create_index("ix_environment_source_id", "environment", ["source_id"], unique=False)
    op.add_column(
        "version", sa.Column("propose", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )


def _identity() -> sa.Column[Any]:
    return sa.Column("id", IDENTITY, autoincrement=True, nullable=False)


def _text(name: str, *, is_optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=is_optional)


def _at(name: str, *, is_optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=is_optional)


def _foreign(table: str, other: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{other}_id")
    return sa.ForeignKeyConstraint([f"{other}_id"], [f"{other}.id"], name=name)
