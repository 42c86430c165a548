"""What a scrub can find."""

from dataclasses import dataclass, field
from typing import Final, Literal

#: ``corrupt``: a blob or archive has other bytes than its name says; it can be deleted.
#: ``unreadable``: the store does not give it out, although it answers otherwise.
#: ``lock``: a lock is damaged, or is missing although images of it were built.
#: ``record``: what is remembered of a layer is wrong; the layer is assembled anew.
#: ``image``: a manifest is gone; the next pull makes it again.
#: ``lost``: what was pushed is gone; nothing here can make it again.
#: ``leftover``: nothing of this name belongs where it is.
Problem = Literal["corrupt", "unreadable", "lock", "record", "image", "lost", "leftover"]

#: What only an administrator can help.
_HARMFUL: Final[frozenset[Problem]] = frozenset({"corrupt", "unreadable", "lock", "lost"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    problem: Problem
    #: Where it is in the store, or a path below the scratch directory.
    key: str
    #: What is wrong, in a few words.
    words: str
    #: Whether it was deleted, so that it is made again.
    deleted: bool = False

    @property
    def is_harmful(self) -> bool:
        """Whether it stays damaged unless somebody does something."""
        return self.problem in _HARMFUL and not self.deleted


@dataclass(slots=True)
class ScrubReport:
    """What was read, and what was found."""

    blobs: int = 0
    packages: int = 0
    locks: int = 0
    hashed_bytes: int = 0
    #: Sorted by problem and key once the scrub has ended.
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_harmful(self) -> bool:
        """Whether anything stays damaged unless somebody does something."""
        return any(finding.is_harmful for finding in self.findings)
