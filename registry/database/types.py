"""Column types that mean the same in SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Text, types
from sqlalchemy.dialects.postgresql import JSONB


class UtcDateTime(types.TypeDecorator[datetime]):
    """A moment: aware, and in UTC, on both sides of every statement."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return ``value`` in UTC.

        Raises:
            ValueError: It says of no time zone what it is.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return what was written; SQLite forgets the zone."""
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC)


#: Keys that count up. SQLite counts only what is called ``INTEGER``.
Identity = BigInteger().with_variant(Integer(), "sqlite")
#: ``NULL`` of SQL for ``None``.
Json: types.TypeEngine[Any] = JSON(none_as_null=True).with_variant(
    JSONB(none_as_null=True), "postgresql"
)
#: Text in the order of its characters' numbers whatever the locale, so that patterns use indexes.
Ordered = Text().with_variant(Text(collation="C"), "postgresql")
