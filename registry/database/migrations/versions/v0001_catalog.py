"""Namespaces, environments, versions, grants, tokens, events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "change",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "event",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("token_id", IDENTITY, nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("detail", JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_namespace", "event", ["namespace", "environment", "id"], unique=False)
    op.create_table(
        "grant_",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("namespace_glob", sa.Text(), nullable=False),
        sa.Column("environment_glob", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grant_")),
        sa.UniqueConstraint(
            "subject_kind",
            "subject",
            "namespace_glob",
            "environment_glob",
            "source",
            name="uq_grant_subject_and_globs",
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "group_",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_group_")),
    )
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "lock_package",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("platform", sa.String(length=64), nullable=False),
        sa.Column("manager", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("build", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "platform", "manager", "name", name=op.f("pk_lock_package")),
    )
    op.create_index("ix_lock_package_name", "lock_package", ["name", "key"], unique=False)
    op.create_index(
        "ix_lock_package_version", "lock_package", ["name", "version", "key"], unique=False
    )
    op.create_table(
        "namespace",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", ORDERED, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_namespace")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_namespace_slug", "namespace", ["slug", "id"], unique=False)
    op.create_index(
        "uq_namespace_alive",
        "namespace",
        ["slug"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_outbox")),
    )
    op.create_table(
        "principal",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_principal")),
    )
    op.create_table(
        "server",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("seen_change", IDENTITY, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_server")),
    )
    op.create_table(
        "specification",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_specification")),
        sa.UniqueConstraint("sha256", name=op.f("uq_specification_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "token",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("principal_name", sa.String(length=200), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scopes", JSON, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("sha256", name=op.f("uq_token_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_token_principal_name"), "token", ["principal_name"], unique=False)
    op.create_table(
        "environment",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("namespace_id", IDENTITY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", ORDERED, nullable=False),
        sa.Column("path", ORDERED, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("active_version", sa.Integer(), nullable=True),
        sa.Column("active_key", sa.String(length=32), nullable=True),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("settled_version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["namespace_id"], ["namespace.id"], name=op.f("fk_environment_namespace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environment")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_environment_active_key", "environment", ["active_key"], unique=False)
    op.create_index(
        "ix_environment_namespace_id", "environment", ["namespace_id", "deleted_at"], unique=False
    )
    op.create_index("ix_environment_path", "environment", ["path", "id"], unique=False)
    op.create_index(
        "uq_environment_alive",
        "environment",
        ["namespace_id", "slug"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "identity",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("principal_name", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_name"], ["principal.name"], name=op.f("fk_identity_principal_name")
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identity")),
    )
    op.create_index(
        op.f("ix_identity_principal_name"), "identity", ["principal_name"], unique=False
    )
    op.create_table(
        "membership",
        sa.Column("group_name", sa.String(length=200), nullable=False),
        sa.Column("principal_name", sa.String(length=200), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_name"],
            ["group_.name"],
            name=op.f("fk_membership_group_name"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("group_name", "principal_name", name=op.f("pk_membership")),
    )
    op.create_index(
        op.f("ix_membership_principal_name"), "membership", ["principal_name"], unique=False
    )
    op.create_table(
        "activation",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("environment_id", IDENTITY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_activation_environment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activation")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_activation_environment_id", "activation", ["environment_id", "id"], unique=False
    )
    op.create_table(
        "version",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("environment_id", IDENTITY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("specification_id", IDENTITY, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("activate", sa.Integer(), nullable=False),
        sa.Column("renew", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'building', 'built', 'failed', 'cancelled', 'unchanged')",
            name=op.f("ck_version_state"),
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_version_environment_id")
        ),
        sa.ForeignKeyConstraint(
            ["specification_id"], ["specification.id"], name=op.f("fk_version_specification_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
        sa.UniqueConstraint(
            "environment_id", "number", name=op.f("uq_version_environment_id_number")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_version_key"), "version", ["key"], unique=False)
    op.create_index(
        "ix_version_open",
        "version",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'building')"),
        postgresql_where=sa.text("state IN ('queued', 'building')"),
    )
    op.create_index(
        op.f("ix_version_specification_id"), "version", ["specification_id"], unique=False
    )
