"""A record of an index as a judge reads it."""

import datetime
from typing import Final

import rattler

from builder.rules.candidate import UNDATED
from builder.rules.model import Manager

EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MS: Final = datetime.timedelta(milliseconds=1)


class Offered:
    """A record as a judge reads it: nothing is asked of it that no rule needs."""

    __slots__ = ("_published_ms", "channel", "name", "project", "record")

    manager: Final[Manager] = "conda"

    def __init__(self, record: rattler.RepoDataRecord, name: str, channel: str) -> None:
        self.record = record
        self._published_ms: int | None = UNDATED
        self.name = name
        self.channel = channel
        self.project = ""

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.record.version)

    @property
    def build(self) -> str:
        """Its build string."""
        return str(self.record.build)

    @property
    def licence(self) -> str:
        """What the index says of its licence."""
        return self.record.license or ""

    @property
    def published_ms(self) -> int | None:
        """When it was published, if the index says; read once, as that takes time.

        It is what the solver holds against a date: when it came into the index, or was built.
        """
        if self._published_ms == UNDATED:
            self._published_ms = to_ms(self.record.indexed_timestamp or self.record.timestamp)
        return self._published_ms

    def is_old(self, until_ms: int | None) -> bool:
        """Tell whether the solver takes it if all must be published by then."""
        if until_ms is None:
            return True
        published_ms = self.published_ms
        return published_ms is not None and published_ms <= until_ms


def to_ms(moment: datetime.datetime | None) -> int | None:
    """Return a moment in milliseconds since 1970."""
    return None if moment is None else (moment - EPOCH) // MS
