"""How a root stands: written after each pass, read by whoever asks."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from registry.errors import RootUnusable
from registry.prefixes.finding import FOLDER
from registry.prefixes.whole_files import read_object, write_whole

#: ``made`` and ``mended`` prefixes; links ``linked`` and ``unlinked``; prefixes that are
#: ``unwanted`` since this pass, and ``removed`` prefixes and packages.
What = Literal["made", "mended", "linked", "unlinked", "unwanted", "removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a pass has done, or would do."""

    what: What
    #: Relative to the root.
    path: str
    #: For people, for example ``"analytics/forecast v3"``.
    about: str
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """What a pass could not do."""

    #: For example ``"analytics/forecast v3"``; empty: of the whole root.
    about: str
    #: One sentence.
    sentence: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link that is there and leads to a whole prefix."""

    namespace: str
    environment: str
    number: int
    key: str
    #: Absolute.
    path: Path
    prefix: Path
    #: Whether it is that of the environment; else that of a version.
    is_active: bool


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a pass has done, and what is there now."""

    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]
    #: All that are wanted and there.
    links: tuple[Link, ...]
    #: Whole prefixes, also unwanted ones.
    prefixes: int
    #: Those of them that go after their time of grace.
    unwanted: int
    packages: int
    bytes_on_disk: int
    bytes_written: int
    #: Of what was removed since the last pass; removal goes on beside.
    bytes_freed: int
    seconds: float
    #: Why nothing could be fetched, in a sentence; empty: it could.
    server_problem: str = ""
    #: Whether something else was wanted before all was made.
    is_cut_short: bool = False

    @property
    def is_equal(self) -> bool:
        """Whether the root is as it is to be."""
        return not self.problems and not self.is_cut_short


@dataclass(frozen=True, slots=True)
class Status:
    """How a root stands, as the last pass left it."""

    #: Seconds since 1970.
    began: float
    ended: float
    #: What the root was made equal to.
    etag: str
    #: Since when it has not been equal, in seconds since 1970; ``None``: it is.
    behind_since: float | None
    environments: int
    versions: int
    links: int
    prefixes: int
    unwanted: int
    packages: int
    bytes_on_disk: int
    bytes_written: int
    bytes_freed: int
    problems: tuple[Problem, ...]
    #: Since when the server has not answered, and what it said; ``None``: it does.
    away_since: float | None = None
    away: str = ""

    def lag_seconds(self, now: float) -> float:
        """Return for how long the root is perhaps not as it is to be; 0 if it is."""
        since = [one for one in (self.behind_since, self.away_since) if one is not None]
        return max(0.0, now - min(since)) if since else 0.0


#: The file, in the folder of what a root itself writes down.
FILE: Final = "status.json"
_FORMAT: Final = 1
#: So many problems are written down; their number is always right.
_MAX_PROBLEMS: Final = 1000


def read_status(root: Path) -> Status:
    """Return how a root stands.

    Raises:
        RootUnusable: It is no root, or cannot be read.
    """
    try:
        content = read_object(root / FOLDER / FILE)
    except OSError as exc:
        raise RootUnusable(f"the status of {root} cannot be read: {exc.strerror or exc}") from exc
    status = _parsed(content) if content is not None else None
    if status is None:
        raise RootUnusable(
            f"{root} is no root, or no pass has ended there yet: begin with"
            f" 'pullforge prefixes sync --root {root}'"
        )
    return status


def write_status(root: Path, status: Status) -> None:
    """Write down how a root stands.

    Raises:
        OSError: It cannot be written.
    """
    content = {"format": _FORMAT, **asdict(status)}
    content["problems"] = content["problems"][:_MAX_PROBLEMS]
    write_whole(root / FOLDER / FILE, json.dumps(content, indent=1).encode() + b"\n")


def write_away(root: Path, sentence: str, now: float) -> None:
    """Write down that the server does not answer; nothing else of the status changes.

    Raises:
        RootUnusable: It is no root, or cannot be written.
    """
    status = read_status(root)
    since = status.away_since if status.away_since is not None else now
    try:
        write_status(root, replace(status, away_since=since, away=sentence))
    except OSError as exc:
        raise RootUnusable(
            f"the status of {root} cannot be written: {exc.strerror or exc}"
        ) from exc


def _parsed(content: Mapping[str, object]) -> Status | None:
    known = {one.name for one in fields(Status)}
    values: dict[str, Any] = {name: value for name, value in content.items() if name in known}
    try:
        values["problems"] = tuple(Problem(**one) for one in values["problems"])
        return Status(**values) if content["format"] == _FORMAT else None
    except (LookupError, TypeError):
        return None
