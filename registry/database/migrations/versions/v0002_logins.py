"""Logins of programs that wait for a person, and the key that signs bearer tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make two tables; those that there are stay as they are."""
    op.create_table(
        "device_login",
        sa.Column("user_code", sa.String(length=16), nullable=False),
        sa.Column("device_sha256", sa.String(length=64), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("principal_name", sa.String(length=200), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_code", name=op.f("pk_device_login")),
        sa.UniqueConstraint("device_sha256", name=op.f("uq_device_login_device_sha256")),
    )
    op.create_index(op.f("ix_device_login_ends_at"), "device_login", ["ends_at"], unique=False)
    op.create_table(
        "signing_key",
        sa.Column("purpose", sa.String(length=50), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("purpose", name=op.f("pk_signing_key")),
    )
