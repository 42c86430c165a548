"""The tables. What they hold is described by :mod:`registry.catalog.records`.

Deleting is a time stamp first. Names are unique among what is not deleted, by partial indexes. All
sequences count up and give no number twice (``sqlite_autoincrement``): servers follow by them.
"""

from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from registry.database.types import Identity, Json, Ordered, UtcDateTime

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_ALIVE: Final = text("deleted_at IS NULL")


def _table(name: str, *parts: Any) -> Table:
    return Table(name, metadata, *parts, sqlite_autoincrement=True)


def _identity() -> Column[int]:
    return Column("id", Identity, primary_key=True, autoincrement=True)


def _at(name: str, *, is_optional: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=is_optional)


def _text(name: str, *, is_optional: bool = False, **more: Any) -> Column[str]:
    return Column(name, Text, nullable=is_optional, **more)


principal: Final = Table(
    "principal",
    metadata,
    Column("name", String(200), primary_key=True),
    _text("kind"),
    _text("display_name", default=""),
    _text("email", default=""),
    _text("source"),
    _text("password_hash", is_optional=True),
    _at("disabled_at", is_optional=True),
    _at("created_at"),
    _at("last_seen_at", is_optional=True),
)

identity: Final = Table(
    "identity",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("principal_name", ForeignKey("principal.name"), nullable=False, index=True),
)

group: Final = Table(
    "group_",
    metadata,
    Column("name", String(200), primary_key=True),
    _text("source"),
)

membership: Final = Table(
    "membership",
    metadata,
    Column("group_name", ForeignKey("group_.name", ondelete="CASCADE"), primary_key=True),
    Column("principal_name", String(200), primary_key=True, index=True),
    #: Who put them there: ``local``, or the provider that says so at each login.
    _text("source"),
)

namespace: Final = _table(
    "namespace",
    _identity(),
    _text("name"),
    Column("slug", Ordered, nullable=False),
    _text("description", default=""),
    #: Name, slug and description without differences of case: what a search looks into.
    _text("search_text", default=""),
    _text("owner", is_optional=True),
    Column("revision", Integer, nullable=False, default=1),
    _at("created_at"),
    _at("deleted_at", is_optional=True),
    Index("uq_namespace_alive", "slug", unique=True, sqlite_where=_ALIVE, postgresql_where=_ALIVE),
    Index("ix_namespace_slug", "slug", "id"),
)

grant: Final = _table(
    "grant_",
    _identity(),
    _text("subject_kind"),
    #: Empty where the kind says all: what is null is never equal to anything.
    _text("subject", default=""),
    _text("namespace_glob"),
    _text("environment_glob"),
    _text("role"),
    _text("source"),
    _text("granted_by", is_optional=True),
    _at("created_at"),
    _at("expires_at", is_optional=True),
    UniqueConstraint(
        *("subject_kind", "subject", "namespace_glob", "environment_glob", "source"),
        name="uq_grant_subject_and_globs",
    ),
)

token: Final = _table(
    "token",
    _identity(),
    Column("sha256", String(64), nullable=False, unique=True),
    _text("hint"),
    Column("principal_name", String(200), nullable=False, index=True),
    _text("name"),
    _text("kind"),
    Column("scopes", Json, nullable=True),
    _at("created_at"),
    _at("expires_at", is_optional=True),
    _at("last_used_at", is_optional=True),
    _at("revoked_at", is_optional=True),
)

environment: Final = _table(
    "environment",
    _identity(),
    Column("namespace_id", ForeignKey("namespace.id"), nullable=False),
    _text("name"),
    Column("slug", Ordered, nullable=False),
    #: ``<namespace's slug>/<slug>``: what lists are ordered by, with every key in one index.
    Column("path", Ordered, nullable=False),
    _text("description", default=""),
    #: Name, path and description without differences of case: what a search looks into.
    _text("search_text", default=""),
    Column("active_version", Integer, nullable=True),
    #: The key of the active version: "who has openssl 3.2.0" joins nothing else.
    Column("active_key", String(32), nullable=True),
    #: The number of the newest version.
    Column("last_version", Integer, nullable=False, default=0),
    #: Versions up to this number become active no more by themselves: somebody has chosen since.
    Column("settled_version", Integer, nullable=False, default=0),
    Column("revision", Integer, nullable=False, default=1),
    _text("created_by", is_optional=True),
    _at("created_at"),
    _at("updated_at"),
    _at("deleted_at", is_optional=True),
    Index(
        "uq_environment_alive",
        "namespace_id",
        "slug",
        unique=True,
        sqlite_where=_ALIVE,
        postgresql_where=_ALIVE,
    ),
    Index("ix_environment_path", "path", "id"),
    Index("ix_environment_active_key", "active_key"),
    Index("ix_environment_namespace_id", "namespace_id", "deleted_at"),
)

specification: Final = _table(
    "specification",
    _identity(),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("data", LargeBinary, nullable=False),
    _at("created_at"),
)

#: Of versions: written so that SQLite finds the index of those that are under way.
OPEN: Final = text("state IN ('queued', 'building')")

version: Final = _table(
    "version",
    _identity(),
    Column("environment_id", ForeignKey("environment.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("specification_id", ForeignKey("specification.id"), nullable=False, index=True),
    Column("key", String(32), nullable=True, index=True),
    _text("request_id", is_optional=True),
    _text("state"),
    _text("message", default=""),
    _text("reason"),
    _text("note", default=""),
    _text("requested_by", is_optional=True),
    #: Whether it becomes active when it is built.
    Column("activate", Integer, nullable=False, default=1),
    #: Whether it is solved anew although the specification has a lock.
    Column("renew", Integer, nullable=False, default=0),
    _at("created_at"),
    _at("started_at", is_optional=True),
    _at("ended_at", is_optional=True),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
    UniqueConstraint("environment_id", "number"),
    # Only what is under way: of a hundred thousand versions, a few.
    Index("ix_version_open", "id", sqlite_where=OPEN, postgresql_where=OPEN),
    CheckConstraint(
        "state IN ('queued', 'building', 'built', 'failed', 'cancelled', 'unchanged')",
        name="state",
    ),
)

activation: Final = _table(
    "activation",
    _identity(),
    Column("environment_id", ForeignKey("environment.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("key", String(32), nullable=False),
    _at("at"),
    _text("by", is_optional=True),
    Index("ix_activation_environment_id", "environment_id", "id"),
)

lock_package: Final = Table(
    "lock_package",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("platform", String(64), primary_key=True),
    Column("manager", String(16), primary_key=True),
    Column("name", String(200), primary_key=True),
    _text("version"),
    _text("build"),
    _text("channel"),
    Index("ix_lock_package_name", "name", "key"),
    Index("ix_lock_package_version", "name", "version", "key"),
)

event: Final = _table(
    "event",
    _identity(),
    _at("at"),
    _text("actor", is_optional=True),
    Column("token_id", Identity, nullable=True),
    _text("address", default=""),
    _text("action"),
    _text("namespace", is_optional=True),
    _text("environment", is_optional=True),
    Column("number", Integer, nullable=True),
    Column("detail", Json, nullable=True),
    #: Who has the slugs: a name can be another's before and after. Of events before the third
    #: revision it is not always known.
    Column("namespace_id", Identity, nullable=True),
    Column("environment_id", Identity, nullable=True),
    Index("ix_event_namespace", "namespace", "environment", "id"),
    Index("ix_event_namespace_id", "namespace_id", "environment_id", "id"),
)

change: Final = _table(
    "change",
    _identity(),
    _text("kind"),
    _text("subject"),
    _at("at"),
)

#: What is still to be written to the store: the document as it is when it is written, so that one
#: row for each is enough. A generation grows when the document changes again in the meantime.
outbox: Final = Table(
    "outbox",
    metadata,
    #: The environment's path: its document has it after ``environments/``.
    Column("path", Text, primary_key=True),
    Column("generation", Integer, nullable=False, default=1),
    _at("created_at"),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
)

server: Final = Table(
    "server",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("seen_change", Identity, nullable=False),
    _at("at"),
)

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("principal", String(200), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("status", Integer, nullable=False, default=0),
    Column("body", LargeBinary, nullable=False, default=b""),
    _at("created_at"),
)

#: Programs that wait until a person has confirmed them; nobody follows it, each server looks here.
device_login: Final = Table(
    "device_login",
    metadata,
    Column("user_code", String(16), primary_key=True),
    Column("device_sha256", String(64), nullable=False, unique=True),
    _text("client"),
    _text("address"),
    #: The address as it is counted: a network of IPv6 is one.
    _text("origin"),
    _text("state"),
    Column("principal_name", String(200), nullable=True),
    Column("ends_at", UtcDateTime, nullable=False, index=True),
)

#: What signs bearer tokens, where no auth file has a key: one row, made by the first server.
signing_key: Final = Table(
    "signing_key",
    metadata,
    Column("purpose", String(50), primary_key=True),
    Column("key", String(64), nullable=False),
    _at("created_at"),
)
