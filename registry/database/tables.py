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
    #: What its images take in the store; null until it is measured, if it was made before that was.
    Column("size_bytes", Identity, nullable=True, default=0),
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
    #: The source whose file defines it: it is edited there.
    Column("source_id", Identity, nullable=True),
    #: From then on it can be pulled, and takes no new version.
    _at("archived_at", is_optional=True),
    #: What a proposal has to pass, for a shell; empty: nothing.
    _text("test_command", default="", server_default=text("''")),
    _text("created_by", is_optional=True),
    _at("created_at"),
    _at("updated_at"),
    _at("deleted_at", is_optional=True),
    Index("ix_environment_source_id", "source_id"),
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
#: Likewise of those whose files retention gave up.
FREED: Final = text("freed_at IS NOT NULL")

#: Of versions: those that were not held against the policies since they were built, or moved.
UNJUDGED: Final = text("state = 'built' AND judged = 0")
#: Of versions: those that were made by another system.
IMPORTED: Final = text("origin IS NOT NULL")

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
    #: Whether it becomes a proposal when it is built.
    Column("propose", Integer, nullable=False, default=0, server_default=text("0")),
    #: Whether it is solved anew although the specification has a lock.
    Column("renew", Integer, nullable=False, default=0),
    _at("created_at"),
    _at("started_at", is_optional=True),
    _at("ended_at", is_optional=True),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
    #: What policy did to it: what it added and left out, and what it warns of.
    Column("told", Json, nullable=True),
    #: Whether it was held against the policies where it is.
    Column("judged", Integer, nullable=False, default=0, server_default=text("0")),
    #: When retention gave its files up; they are made again when somebody pulls them.
    _at("freed_at", is_optional=True),
    #: The build of another system that it was: ``<address>#<number>``; null: it was asked for here.
    _text("origin", is_optional=True),
    #: When a client of conda-store deleted it: lists for such show it no more.
    _at("deleted_at", is_optional=True),
    UniqueConstraint("environment_id", "number"),
    # Only what is under way: of a hundred thousand versions, a few.
    Index("ix_version_open", "id", sqlite_where=OPEN, postgresql_where=OPEN),
    Index("ix_version_unjudged", "id", sqlite_where=UNJUDGED, postgresql_where=UNJUDGED),
    Index("ix_version_freed", "id", sqlite_where=FREED, postgresql_where=FREED),
    Index(
        "uq_version_origin",
        "origin",
        unique=True,
        sqlite_where=IMPORTED,
        postgresql_where=IMPORTED,
    ),
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

#: Exact packages, each once in however many locks it is: rules are held against these.
package: Final = _table(
    "package",
    _identity(),
    #: 32 hex digits of all that follows: what is null equals nothing in an index.
    Column("facts", String(32), nullable=False, unique=True),
    Column("manager", String(16), nullable=False),
    Column("name", String(200), nullable=False),
    _text("version"),
    _text("build"),
    #: The channel's address; empty of a wheel.
    _text("channel"),
    #: As the index says it; empty: nothing is said.
    _text("licence"),
    Column("published_ms", Identity, nullable=True),
    #: The project of PyPI that it is made of; empty: none that is known.
    _text("project"),
    #: 0: nobody says.
    Column("size_bytes", Identity, nullable=False, default=0),
)

#: What rules ask of a lock as a whole. Those that have no row were not read yet.
lock_platform: Final = Table(
    "lock_platform",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("platform", String(64), primary_key=True),
    #: The reference of the base image; empty: there is none.
    _text("base"),
    Column("packages", Integer, nullable=False),
    Column("size_bytes", Identity, nullable=False),
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
    #: The exact package; null in rows of before until a job has read their lock.
    Column("package_id", Identity, nullable=True),
    Index("ix_lock_package_package_id", "package_id", "key"),
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
    #: Through what it was done; empty of what happened before it was written down.
    _text("via", default="", server_default=text("''")),
    #: Who has the slugs: a name can be another's before and after. Of events before the third
    #: revision it is not always known.
    Column("namespace_id", Identity, nullable=True),
    Column("environment_id", Identity, nullable=True),
    Index("ix_event_namespace", "namespace", "environment", "id"),
    Index("ix_event_namespace_id", "namespace_id", "environment_id", "id"),
    # What the audit log is found by, each in the order of its times.
    Index("ix_event_at", "at", "id"),
    Index("ix_event_actor", "actor", "at", "id"),
    Index("ix_event_action", "action", "at", "id"),
    Index("ix_event_address", "address", "at", "id"),
    Index("ix_event_via", "via", "at", "id"),
    Index("ix_event_namespace_at", "namespace", "at", "id"),
    Index("ix_event_environment_at", "namespace", "environment", "at", "id"),
)

#: How far events were written into the log, by the one server that does so at a time.
forwarded: Final = Table(
    "forwarded",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("event_id", Identity, nullable=False),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
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

#: Rules that administrators set, and the one policy of its own that a namespace may have. Those of
#: files are in no table.
policy: Final = _table(
    "policy",
    _identity(),
    _text("name"),
    #: Of a namespace's own policy; ``None``: an administrator's, which says itself where it holds.
    Column("namespace_id", ForeignKey("namespace.id"), nullable=True),
    _text("text"),
    Column("version", Integer, nullable=False, default=1),
    _text("updated_by", is_optional=True),
    _at("created_at"),
    _at("updated_at"),
    _at("deleted_at", is_optional=True),
    Index(
        "uq_policy_of_all",
        "name",
        unique=True,
        sqlite_where=text("deleted_at IS NULL AND namespace_id IS NULL"),
        postgresql_where=text("deleted_at IS NULL AND namespace_id IS NULL"),
    ),
    Index(
        "uq_policy_alive",
        "namespace_id",
        "name",
        unique=True,
        sqlite_where=_ALIVE,
        postgresql_where=_ALIVE,
    ),
)

#: Every text that a policy has had.
policy_text: Final = Table(
    "policy_text",
    metadata,
    Column("policy_id", ForeignKey("policy.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _text("text"),
    _text("by", is_optional=True),
    _at("at"),
)

waiver: Final = _table(
    "waiver",
    _identity(),
    #: For what it was asked; without both, for builds that are of no environment.
    Column("namespace_id", ForeignKey("namespace.id"), nullable=True),
    Column("environment_id", ForeignKey("environment.id"), nullable=True),
    #: Where it holds: in its environment, in its namespace, or everywhere.
    _text("scope"),
    _text("policy"),
    #: What the rule is about that refused; empty where nothing was refused yet.
    _text("kind", default=""),
    _text("manager"),
    _text("spec"),
    _text("reason"),
    _text("state"),
    _text("requested_by", is_optional=True),
    _at("requested_at"),
    _text("decided_by", is_optional=True),
    _at("decided_at", is_optional=True),
    _text("decision", default=""),
    _at("expires_at", is_optional=True),
    #: When somebody was told that it ends soon.
    _at("told_at", is_optional=True),
    #: The version that was refused, and goes on by itself.
    Column("version_id", ForeignKey("version.id"), nullable=True),
    Index("ix_waiver_state", "state", "id"),
    Index("ix_waiver_namespace_id", "namespace_id", "id"),
    Index("ix_waiver_version_id", "version_id"),
    CheckConstraint(
        "state IN ('waiting', 'granted', 'refused', 'ended', 'withdrawn')", name="state"
    ),
)

#: Builds that administrators keep from everybody.
block: Final = Table(
    "block",
    metadata,
    Column("key", String(32), primary_key=True),
    _text("reason"),
    _text("blocked_by", is_optional=True),
    _at("at"),
)

#: What policies have against builds that there are.
finding: Final = _table(
    "finding",
    _identity(),
    #: In which it was found; 0: in what belongs to none.
    Column("environment_id", Identity, nullable=False, default=0),
    Column("key", String(32), nullable=False),
    _text("policy"),
    _text("mode"),
    _text("kind"),
    #: Empty where it is of no platform, package or advisory: what is null equals nothing.
    _text("platform", default=""),
    _text("manager", default=""),
    _text("name", default=""),
    _text("version", default=""),
    _text("advisory", default=""),
    _text("sentence"),
    #: The first version without it, where an advisory says so.
    _text("fixed_in", default=""),
    _at("found_at"),
    UniqueConstraint(
        *("environment_id", "key", "policy", "kind", "platform", "manager", "name", "advisory"),
        name="uq_finding_key_and_package",
    ),
    Index("ix_finding_policy", "policy", "id"),
)

#: What was judged last, by which policies, and which server is at it.
judging: Final = Table(
    "judging",
    metadata,
    Column("name", String(50), primary_key=True),
    #: Stands for all policies, waivers and advisories, and the day.
    _text("digest", default=""),
    _at("at", is_optional=True),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
)

quota: Final = Table(
    "quota",
    metadata,
    Column("namespace_id", ForeignKey("namespace.id"), primary_key=True, autoincrement=False),
    # Of each: null for the service's default, less than nothing for no limit.
    Column("size_bytes", Identity, nullable=True),
    Column("environments", Integer, nullable=True),
    Column("builds_a_day", Integer, nullable=True),
    Column("builds_at_once", Integer, nullable=True),
    Column("revision", Integer, nullable=False, default=1),
)

#: What of versions that are not active may go.
retention: Final = Table(
    "retention",
    metadata,
    Column("namespace_id", ForeignKey("namespace.id"), primary_key=True, autoincrement=False),
    #: After how long; null for the service's default, less than nothing for never.
    Column("days", Integer, nullable=True),
    #: How many of the newest stay in any case; null for the service's default.
    Column("keep", Integer, nullable=True),
    Column("revision", Integer, nullable=False, default=1),
)

usage_day: Final = Table(
    "usage_day",
    metadata,
    Column("environment_id", ForeignKey("environment.id"), primary_key=True, autoincrement=False),
    #: As ``2026-11-29``.
    Column("day", String(10), primary_key=True),
    Column("pulls", Identity, nullable=False, default=0),
    #: When it was pulled last that day.
    _at("last_at", is_optional=True),
    #: What its images take, as it was measured last that day; null on days on which it stayed what
    #: it was.
    Column("own_bytes", Identity, nullable=True),
    Column("shared_bytes", Identity, nullable=True),
    Index("ix_usage_day_day", "day"),
)

#: As ``usage_day``, of a namespace: what happened while environments were in it stays there.
namespace_day: Final = Table(
    "namespace_day",
    metadata,
    Column("namespace_id", ForeignKey("namespace.id"), primary_key=True, autoincrement=False),
    Column("day", String(10), primary_key=True),
    #: Versions that were asked for: what a quota of builds a day is held against.
    Column("builds", Integer, nullable=False, default=0),
    Column("pulls", Identity, nullable=False, default=0),
    _at("last_at", is_optional=True),
    Column("own_bytes", Identity, nullable=True),
    Column("shared_bytes", Identity, nullable=True),
    Index("ix_namespace_day_day", "day"),
)

#: Which blobs a build has: what namespaces share is counted by it.
build_blob: Final = Table(
    "build_blob",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("digest", String(140), primary_key=True),
    Column("size_bytes", Identity, nullable=False),
    Index("ix_build_blob_digest", "digest"),
)

#: Where files are that define environments.
source: Final = _table(
    "source",
    _identity(),
    #: Whose environments they are; ``None``: the folders' names say it.
    Column("namespace_id", ForeignKey("namespace.id"), nullable=True),
    _text("name"),
    _text("kind"),
    #: The path of a directory or file, the address of a repository, or where a client is.
    _text("location"),
    #: Of a repository; empty: its default branch.
    _text("branch", default=""),
    #: The folder of a repository that is looked into; empty: all.
    _text("folder", default=""),
    #: Which path becomes which environment; null: the default ones.
    Column("patterns", Json, nullable=True),
    #: What becomes of environments whose file is gone: ``keep``, ``archive`` or ``delete``.
    _text("removed"),
    #: What becomes of edits elsewhere: ``refuse`` or ``propose``.
    _text("edits"),
    #: Whether its versions become active; else they are proposals.
    Column("activate", Integer, nullable=False, default=1),
    #: Whether the settings of servers declare it: nobody changes it here.
    Column("is_declared", Integer, nullable=False, default=0),
    #: By which hosts of repositories sign that something was pushed; null: they cannot.
    _text("hook_secret", is_optional=True),
    #: Why it cannot be looked at; empty: it can.
    _text("problem", default=""),
    #: The commit that was seen last; empty of what has none.
    _text("commit", default=""),
    _at("looked_at", is_optional=True),
    #: When somebody asked to look at once.
    _at("asked_at", is_optional=True),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
    Column("revision", Integer, nullable=False, default=1),
    _text("created_by", is_optional=True),
    #: Who has said last where it is and what its files do: what they may pull decides.
    _text("updated_by", is_optional=True),
    _at("created_at"),
    _at("updated_at"),
    _at("deleted_at", is_optional=True),
    Index(
        "uq_source_of_all",
        "name",
        unique=True,
        sqlite_where=text("deleted_at IS NULL AND namespace_id IS NULL"),
        postgresql_where=text("deleted_at IS NULL AND namespace_id IS NULL"),
    ),
    Index(
        "uq_source_alive",
        "namespace_id",
        "name",
        unique=True,
        sqlite_where=_ALIVE,
        postgresql_where=_ALIVE,
    ),
    CheckConstraint("kind IN ('directory', 'git', 'remote')", name="kind"),
)

source_file: Final = _table(
    "source_file",
    _identity(),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    #: Relative to the source, with ``/``.
    _text("path"),
    #: Which it defines; null: none could be made of it yet.
    Column("environment_id", Identity, nullable=True),
    #: Of the bytes that were taken last; empty: none were.
    _text("sha256", default=""),
    #: Why it cannot be used; empty: it can.
    _text("problem", default=""),
    _at("seen_at"),
    #: When it was found to be gone.
    _at("gone_at", is_optional=True),
    UniqueConstraint("source_id", "path", name="uq_source_file_path"),
    Index("ix_source_file_environment_id", "environment_id"),
)

#: When an environment is solved anew.
schedule: Final = Table(
    "schedule",
    metadata,
    Column("environment_id", ForeignKey("environment.id"), primary_key=True, autoincrement=False),
    #: Five fields, or a word: ``hourly``, ``daily``, ``weekly``, ``monthly``.
    _text("cron"),
    _text("timezone"),
    #: What becomes of a new version: ``propose``, ``test`` (active when its test passes) or
    #: ``activate``.
    _text("then"),
    #: Whether an advisory against the active version has it solved at once.
    Column("on_advisories", Integer, nullable=False, default=1),
    Column("is_paused", Integer, nullable=False, default=0),
    Column("next_at", UtcDateTime, nullable=True, index=True),
    _at("last_at", is_optional=True),
    #: The number of the version that was asked for last.
    Column("last_version", Integer, nullable=True),
    #: Why nothing was asked for the last time; empty: something was.
    _text("problem", default=""),
    Column("revision", Integer, nullable=False, default=1),
    _text("updated_by", is_optional=True),
    _at("created_at"),
    _at("updated_at"),
)

_OPEN_PROPOSAL: Final = text("state = 'open'")
#: Of proposals: those whose test is to be run, or is.
UNTESTED: Final = text("state = 'open' AND test_state IN ('waiting', 'running')")

#: Versions that are built and wait for somebody to activate them.
proposal: Final = _table(
    "proposal",
    _identity(),
    Column("environment_id", ForeignKey("environment.id"), nullable=False),
    #: The version.
    Column("number", Integer, nullable=False),
    #: Which was active when it was opened; null: none was.
    Column("base_number", Integer, nullable=True),
    _text("state"),
    #: Whether it is activated when its test passes.
    Column("is_automatic", Integer, nullable=False, default=0),
    _at("created_at"),
    _text("decided_by", is_optional=True),
    _at("decided_at", is_optional=True),
    #: What whoever decided says.
    _text("decision", default=""),
    _text("test_command", default=""),
    _text("test_state"),
    #: One sentence on a test that did not pass; empty otherwise.
    _text("test_message", default=""),
    #: The end of what it wrote.
    _text("test_output", default=""),
    _at("tested_at", is_optional=True),
    Column("test_ms", Identity, nullable=True),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
    UniqueConstraint("environment_id", "number", name="uq_proposal_number"),
    Index(
        "uq_proposal_open",
        "environment_id",
        unique=True,
        sqlite_where=_OPEN_PROPOSAL,
        postgresql_where=_OPEN_PROPOSAL,
    ),
    Index("ix_proposal_state", "state", "id"),
    Index("ix_proposal_untested", "id", sqlite_where=UNTESTED, postgresql_where=UNTESTED),
    CheckConstraint("state IN ('open', 'activated', 'rejected', 'replaced')", name="state"),
    CheckConstraint(
        "test_state IN ('none', 'waiting', 'running', 'passed', 'failed')", name="test_state"
    ),
)

#: Whom events are sent to, each in the order in which they happened.
webhook: Final = _table(
    "webhook",
    _identity(),
    #: Whose events; ``None``: everybody's.
    Column("namespace_id", ForeignKey("namespace.id"), nullable=True),
    _text("environment_glob", default="*"),
    #: ``webhook`` or ``mail``.
    _text("kind"),
    #: An address of HTTP, or of mail.
    _text("url"),
    #: What is sent: ``standard``, or ``chat`` for chat services.
    _text("format"),
    #: Globs on actions; null: all.
    Column("actions", Json, nullable=True),
    #: By which what is sent is signed, as ``whsec_…``; empty of mail.
    _text("secret", default=""),
    #: The one before, good until then.
    _text("old_secret", is_optional=True),
    _at("old_secret_until", is_optional=True),
    Column("is_enabled", Integer, nullable=False, default=1),
    #: Why the service has stopped it; empty: it has not.
    _text("problem", default=""),
    #: The event up to which all was sent, or was not wanted.
    Column("event_id", Identity, nullable=False),
    #: How often the next one was tried, when it is tried again, and since when it fails.
    Column("attempts", Integer, nullable=False, default=0),
    _at("next_at", is_optional=True),
    _at("failing_since", is_optional=True),
    _text("claimed_by", is_optional=True),
    _at("claimed_until", is_optional=True),
    Column("revision", Integer, nullable=False, default=1),
    _text("created_by", is_optional=True),
    _at("created_at"),
    _at("updated_at"),
    _at("deleted_at", is_optional=True),
    Index("ix_webhook_namespace_id", "namespace_id", "id"),
    CheckConstraint("kind IN ('webhook', 'mail')", name="kind"),
    CheckConstraint("format IN ('standard', 'chat')", name="format"),
)

#: Of deliveries: those that somebody wants once more.
WANTED: Final = text("state = 'waiting'")

#: Each time that something was sent, or is to be sent once more.
delivery: Final = _table(
    "delivery",
    _identity(),
    Column("webhook_id", ForeignKey("webhook.id"), nullable=False),
    Column("event_id", Identity, nullable=False),
    #: ``waiting``, ``delivered`` or ``failed``.
    _text("state"),
    #: The first is 1; 0: somebody wanted it once more.
    Column("attempt", Integer, nullable=False),
    #: Of the answer; null: there was none.
    Column("status", Integer, nullable=True),
    #: One sentence on a failure; empty otherwise.
    _text("message", default=""),
    #: The beginning of the answer.
    _text("answer", default=""),
    Column("duration_ms", Identity, nullable=True),
    _at("created_at"),
    _at("ended_at", is_optional=True),
    Index("ix_delivery_webhook_id", "webhook_id", "id"),
    Index("ix_delivery_waiting", "id", sqlite_where=WANTED, postgresql_where=WANTED),
    CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
)

#: Of settings: those of the whole service.
_OF_SERVICE: Final = text("namespace_id IS NULL AND environment_id IS NULL")

#: What people set by clients of conda-store: those of both numbers null are the service's.
conda_store_setting: Final = _table(
    "conda_store_setting",
    _identity(),
    #: Whose; null of an environment's: it may go to another namespace.
    Column("namespace_id", ForeignKey("namespace.id"), nullable=True),
    Column("environment_id", ForeignKey("environment.id"), nullable=True),
    _text("key"),
    #: ``None`` is a value, too.
    Column("value", Json, nullable=True),
    _text("updated_by", is_optional=True),
    _at("updated_at"),
    Index(
        "uq_conda_store_setting_of_service",
        "key",
        unique=True,
        sqlite_where=_OF_SERVICE,
        postgresql_where=_OF_SERVICE,
    ),
    # What is null equals nothing: rows of others are in neither.
    UniqueConstraint("namespace_id", "key", name="uq_conda_store_setting_namespace"),
    UniqueConstraint("environment_id", "key", name="uq_conda_store_setting_environment"),
    CheckConstraint("namespace_id IS NULL OR environment_id IS NULL", name="scope"),
)
