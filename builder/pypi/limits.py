"""What rules leave out of an index of projects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ProjectLimits:
    """What uv is told to leave out."""

    #: What was uploaded later is left out; in milliseconds since 1970, ``None``: nothing is.
    published_until_ms: int | None = None
    #: The same for some projects by their normalized names.
    own: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({}))
    #: Constraints such as ``"requests!=2.32.0"``.
    excluded: Sequence[str] = ()

    def options(self, until: date | None) -> list[str]:
        """Return the options of uv by which it keeps to dates.

        Args:
            until: What was uploaded after that day, UTC, is left out as well.
        """
        options = []
        if last := _earliest(self.published_until_ms, until):
            options += ["--exclude-newer", last]
        for name, published_until_ms in sorted(self.own.items()):
            last = _earliest(published_until_ms, until) or "false"
            options += ["--exclude-newer-package", f"{name}={last}"]
        return options


def _earliest(until_ms: int | None, day: date | None) -> str:
    """Return the first moment that counts no more, as uv reads it; ``""``: there is none."""
    moments = []
    if until_ms is not None:
        since = datetime(1970, 1, 1, tzinfo=UTC)
        moments.append(since + timedelta(milliseconds=until_ms + 1))
    if day is not None:
        moments.append(datetime.combine(day + timedelta(days=1), time(), UTC))
    if not moments:
        return ""
    first = min(moments)
    seconds = "milliseconds" if first.microsecond else "seconds"
    return f"{first.replace(tzinfo=None).isoformat(timespec=seconds)}Z"
