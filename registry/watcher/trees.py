"""What watching needs of a place where files are: which there are now, and their bytes.

A listing gives each file a *token*: text that is another one whenever the file is. What cannot be
used has a sentence instead. So whoever looks again compares tokens, and reads what differs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

#: Tells whether a path, relative to the tree and with ``/``, is wanted.
Wants = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file that can be read, as it was when it was listed."""

    #: Relative to the tree, with ``/``.
    path: str
    #: Another one whenever the file may have changed.
    token: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is in a tree."""

    #: By path.
    files: Mapping[str, TreeFile] = field(default_factory=dict)
    #: Why files cannot be read, or folders not be looked into, by path; such a thing is there: of
    #: what lies below it, nothing is known.
    problems: Mapping[str, str] = field(default_factory=dict)
    #: The directories that were looked into, for whoever watches them, with their inodes: one may
    #: be another by the same name.
    folders: Mapping[str, int] = field(default_factory=dict)
    #: Of a repository.
    commit: str = ""
    #: Another one if the directory is another one, e.g. as nothing is mounted there; empty of what
    #: cannot be mistaken.
    identity: str = ""
    #: Whether there is nothing at all, wanted or not.
    is_empty: bool = False
    #: What the look has taken of this machine's processors.
    cpu_seconds: float = 0.0


class Tree(Protocol):
    """A place where files are."""

    async def list(self, wants: Wants) -> Listing:
        """Return the wanted files as they are now.

        Raises:
            SourceUnreachable: Nothing can be said of it: it is not there, does not answer, or is
                too large.
        """
        ...

    async def read(self, file: TreeFile) -> bytes | None:
        """Return the bytes of a file that was listed; ``None``: it is another one by now.

        Raises:
            SourceFileUnreadable: It cannot be read, though it is still the same.
            SourceUnreachable: As above.
        """
        ...
