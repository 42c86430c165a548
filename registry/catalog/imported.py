"""What is imported: versions that another system has made, and what became of them here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ForeignState = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class ForeignVersion:
    """A build of another system, which has ended."""

    #: Its number there.
    id: int
    #: By what it was asked for.
    specification: bytes
    #: What it consists of; ``None``: that is not known any more.
    lock: bytes | None
    state: ForeignState
    message: str
    requested_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ForeignVersions:
    """Some or all builds of an environment of another system."""

    #: The address of the system.
    source: str
    #: The environment's, as it is written there.
    name: str
    description: str
    #: In the order in which they get their numbers.
    versions: Sequence[ForeignVersion]
    #: The number there of the build that is active; ``None``: nothing is said.
    active: int | None = None
    #: Whether versions have the numbers of their builds as those of their rows, where those are
    #: free.
    keeps_ids: bool = True

    def origin(self, number: int) -> str:
        """Return what stands for a build, as ``version.origin`` has it."""
        return f"{self.source}#{number}"


@dataclass(frozen=True, slots=True)
class ImportedVersion:
    """A version that was a build of another system."""

    id: int
    #: In its environment here.
    number: int
    #: Of its row.
    version_id: int
    key: str | None
    #: What there is to say of it; empty: nothing.
    message: str = ""


@dataclass(frozen=True, slots=True)
class RefusedVersion:
    """A build that is no version here, with a sentence that says why."""

    id: int
    message: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of builds that were sent."""

    made: Sequence[ImportedVersion] = ()
    #: Those that were imported before.
    known: Sequence[int] = ()
    refused: Sequence[RefusedVersion] = ()
    #: The number there of the version that is active here; ``None``: none of that system is.
    active: int | None = None
    #: Sentences on what was not done.
    messages: Sequence[str] = field(default_factory=tuple)
