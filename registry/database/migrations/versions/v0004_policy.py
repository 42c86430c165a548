"""Policies, waivers, blocks, findings, quotas, retention and usage; through what events came."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UNJUDGED = sa.text("state = 'built' AND judged = 0")
ALIVE = sa.text("deleted_at IS NULL")
FREED = sa.text("freed_at IS NOT NULL")
OF_ALL = sa.text("deleted_at IS NULL AND namespace_id IS NULL")


def upgrade() -> None:
    """Make tables, and add columns; nothing that there is changes."""
    _policies()
    _waivers()
    _judging()
    _packages()
    _limits()
    op.add_column("namespace", sa.Column("size_bytes", IDENTITY, nullable=True))
    op.add_column("version", sa.Column("told", JSON, nullable=True))
    op.add_column("version", _at("freed_at", is_optional=True))
    op.create_index(
        "ix_version_freed", "version", ["id"], sqlite_where=FREED, postgresql_where=FREED
    )
    op.add_column(
        "event", sa.Column("via", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    _audit()


def _audit() -> None:
    for name, *columns in (
        ("at",),
        ("actor", "actor"),
        ("action", "action"),
        ("address", "address"),
        ("via", "via"),
        ("namespace_at", "namespace"),
        ("environment_at", "namespace", "environment"),
    ):
        op.create_index(f"ix_event_{name}", "event", [*columns, "at", "id"])
    op.create_table(
        "forwarded",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("event_id", IDENTITY, nullable=False),
        _text("claimed_by", is_optional=True),
        _at("claimed_until", is_optional=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_forwarded")),
    )


def _policies() -> None:
    op.create_table(
        "policy",
        _identity(),
        _text("name"),
        sa.Column("namespace_id", IDENTITY, nullable=True),
        _text("text"),
        sa.Column("version", sa.Integer(), nullable=False),
        _text("updated_by", is_optional=True),
        _at("created_at"),
        _at("updated_at"),
        _at("deleted_at", is_optional=True),
        _foreign("policy", "namespace"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        *("uq_policy_of_all", "policy", ["name"]),
        unique=True,
        sqlite_where=OF_ALL,
        postgresql_where=OF_ALL,
    )
    op.create_index(
        *("uq_policy_alive", "policy", ["namespace_id", "name"]),
        unique=True,
        sqlite_where=ALIVE,
        postgresql_where=ALIVE,
    )
    op.create_table(
        "policy_text",
        sa.Column("policy_id", IDENTITY, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        _text("text"),
        _text("by", is_optional=True),
        _at("at"),
        _foreign("policy_text", "policy"),
        sa.PrimaryKeyConstraint("policy_id", "version", name=op.f("pk_policy_text")),
    )


def _waivers() -> None:
    op.create_table(
        "waiver",
        _identity(),
        sa.Column("namespace_id", IDENTITY, nullable=True),
        sa.Column("environment_id", IDENTITY, nullable=True),
        *(_text(name) for name in ("scope", "policy", "kind", "manager", "spec")),
        *(_text(name) for name in ("reason", "state")),
        _text("requested_by", is_optional=True),
        _at("requested_at"),
        _text("decided_by", is_optional=True),
        _at("decided_at", is_optional=True),
        _text("decision"),
        _at("expires_at", is_optional=True),
        _at("told_at", is_optional=True),
        sa.Column("version_id", IDENTITY, nullable=True),
        *(_foreign("waiver", other) for other in ("namespace", "environment", "version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waiver")),
        sa.CheckConstraint(
            "state IN ('waiting', 'granted', 'refused', 'ended', 'withdrawn')",
            name=op.f("ck_waiver_state"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_waiver_state", "waiver", ["state", "id"])
    op.create_index("ix_waiver_namespace_id", "waiver", ["namespace_id", "id"])
    op.create_index("ix_waiver_version_id", "waiver", ["version_id"])


def _judging() -> None:
    op.create_table(
        "block",
        sa.Column("key", sa.String(length=32), nullable=False),
        _text("reason"),
        _text("blocked_by", is_optional=True),
        _at("at"),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_block")),
    )
    op.create_table(
        "finding",
        _identity(),
        sa.Column("environment_id", IDENTITY, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        *(_text(name) for name in ("policy", "mode", "kind", "platform", "manager", "name")),
        *(_text(name) for name in ("version", "advisory", "sentence", "fixed_in")),
        _at("found_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint(
            *("environment_id", "key", "policy", "kind"),
            *("platform", "manager", "name", "advisory"),
            name="uq_finding_key_and_package",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_finding_policy", "finding", ["policy", "id"])
    op.create_table(
        "judging",
        sa.Column("name", sa.String(length=50), nullable=False),
        _text("digest"),
        _at("at", is_optional=True),
        _text("claimed_by", is_optional=True),
        _at("claimed_until", is_optional=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_judging")),
    )
    op.add_column(
        "version", sa.Column("judged", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    op.create_index(
        *("ix_version_unjudged", "version", ["id"]),
        sqlite_where=UNJUDGED,
        postgresql_where=UNJUDGED,
    )


def _packages() -> None:
    op.create_table(
        "package",
        _identity(),
        sa.Column("facts", sa.String(length=32), nullable=False),
        sa.Column("manager", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        *(_text(name) for name in ("version", "build", "channel", "licence")),
        sa.Column("published_ms", IDENTITY, nullable=True),
        _text("project"),
        sa.Column("size_bytes", IDENTITY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_package")),
        sa.UniqueConstraint("facts", name=op.f("uq_package_facts")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lock_platform",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        _text("base"),
        sa.Column("packages", sa.Integer(), nullable=False),
        sa.Column("size_bytes", IDENTITY, nullable=False),
        sa.PrimaryKeyConstraint("key", "platform", name=op.f("pk_lock_platform")),
    )
    op.add_column("lock_package", sa.Column("package_id", IDENTITY, nullable=True))
    op.create_index("ix_lock_package_package_id", "lock_package", ["package_id", "key"])


def _limits() -> None:
    op.create_table(
        "quota",
        sa.Column("namespace_id", IDENTITY, autoincrement=False, nullable=False),
        sa.Column("size_bytes", IDENTITY, nullable=True),
        sa.Column("environments", sa.Integer(), nullable=True),
        sa.Column("builds_a_day", sa.Integer(), nullable=True),
        sa.Column("builds_at_once", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        _foreign("quota", "namespace"),
        sa.PrimaryKeyConstraint("namespace_id", name=op.f("pk_quota")),
    )
    op.create_table(
        "retention",
        sa.Column("namespace_id", IDENTITY, autoincrement=False, nullable=False),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("keep", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        _foreign("retention", "namespace"),
        sa.PrimaryKeyConstraint("namespace_id", name=op.f("pk_retention")),
    )
    op.create_table(
        "usage_day",
        sa.Column("environment_id", IDENTITY, autoincrement=False, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        *_used(),
        _foreign("usage_day", "environment"),
        sa.PrimaryKeyConstraint("environment_id", "day", name=op.f("pk_usage_day")),
    )
    op.create_index("ix_usage_day_day", "usage_day", ["day"])
    op.create_table(
        "namespace_day",
        sa.Column("namespace_id", IDENTITY, autoincrement=False, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("builds", sa.Integer(), nullable=False),
        *_used(),
        _foreign("namespace_day", "namespace"),
        sa.PrimaryKeyConstraint("namespace_id", "day", name=op.f("pk_namespace_day")),
    )
    op.create_index("ix_namespace_day_day", "namespace_day", ["day"])
    op.create_table(
        "build_blob",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=140), nullable=False),
        sa.Column("size_bytes", IDENTITY, nullable=False),
        sa.PrimaryKeyConstraint("key", "digest", name=op.f("pk_build_blob")),
    )
    op.create_index("ix_build_blob_digest", "build_blob", ["digest"])


def _used() -> list[sa.Column[Any]]:
    return [
        sa.Column("pulls", IDENTITY, nullable=False),
        _at("last_at", is_optional=True),
        sa.Column("own_bytes", IDENTITY, nullable=True),
        sa.Column("shared_bytes", IDENTITY, nullable=True),
    ]


def _identity() -> sa.Column[Any]:
    return sa.Column("id", IDENTITY, autoincrement=True, nullable=False)


def _text(name: str, *, is_optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=is_optional)


def _at(name: str, *, is_optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=is_optional)


def _foreign(table: str, other: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{other}_id")
    return sa.ForeignKeyConstraint([f"{other}_id"], [f"{other}.id"], name=name)
