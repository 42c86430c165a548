"""Rows of policies, and what they are as records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, and_, select

from registry.database import tables

#: Longer texts are not repeated in events: each version's is kept beside its policy.
_MAX_TOLD: Final = 8_000


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A policy that is kept in the database."""

    id: int
    name: str
    #: The namespace whose own policy it is, by its slug; ``None``: an administrator's.
    namespace: str | None
    text: str
    #: Counted from 1, with each text that it gets.
    version: int
    updated_by: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyText:
    """What a policy said once."""

    version: int
    text: str
    by: str | None
    at: datetime


def policies() -> Select[Any]:
    """Return what finds policies that hold; one of a namespace that is deleted does not."""
    table, space = tables.policy, tables.namespace
    is_there = and_(space.c.id == table.c.namespace_id, space.c.deleted_at.is_(None))
    return (
        select(table, space.c.slug.label("slug"))
        .outerjoin(space, is_there)
        .where(
            table.c.deleted_at.is_(None),
            table.c.namespace_id.is_(None) | space.c.id.is_not(None),
        )
    )


def policy_record(row: Row[Any]) -> PolicyRecord:
    """Return the record of a row, as :func:`policies` finds it."""
    return PolicyRecord(
        row.id,
        row.name,
        row.slug,
        row.text,
        row.version,
        row.updated_by,
        row.created_at,
        row.updated_at,
    )


def policy_text(row: Row[Any]) -> PolicyText:
    """Return the record of a row of ``policy_text``."""
    return PolicyText(row.version, row.text, row.by, row.at)


def told_text(version: int, text: str) -> Mapping[str, Any]:
    """Return a policy as an event has it, before or after."""
    shown = text if len(text) <= _MAX_TOLD else f"{text[:_MAX_TOLD]}\n# … and more"
    return {"version": version, "text": shown}
