"""What the catalog tells of sources: where files are that define environments."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

#: What a source is. ``directory``: a path of a server; ``git``: a repository that servers fetch;
#: ``remote``: another machine sends its files.
SourceKind = Literal["directory", "git", "remote"]
#: What becomes of an environment whose file is gone. ``keep``: it is edited here from then on.
Removed = Literal["keep", "archive", "delete"]
#: What becomes of edits elsewhere: they are refused, or wait as proposals.
Edits = Literal["refuse", "propose"]


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """Where files are that define environments."""

    id: int
    #: The slug of the namespace whose environments they are; ``None``: the folders' names say it.
    namespace: str | None
    name: str
    kind: SourceKind
    #: The path of a directory or file, the address of a repository, or where a client is.
    location: str
    #: Of a repository; empty: its default branch.
    branch: str
    #: The folder of a repository that is looked into; empty: all.
    folder: str
    #: Which path becomes which environment; ``None``: the default ones.
    patterns: tuple[str, ...] | None
    removed: Removed
    edits: Edits
    #: Whether its versions become active; else they are proposals.
    activate: bool
    #: Whether the settings of servers declare it: nobody changes it here.
    is_declared: bool
    #: Whether hosts of repositories can tell that something was pushed.
    has_hook: bool
    #: Why it cannot be looked at; empty: it can.
    problem: str
    #: The commit that was seen last; empty of what has none.
    commit: str
    looked_at: datetime | None
    #: When somebody asked to look at once; ``None``: that was done since.
    asked_at: datetime | None
    revision: int
    created_by: str | None
    #: Who has set it last: what they may pull decides about what its files ask for.
    updated_by: str | None
    created_at: datetime
    updated_at: datetime
    #: How many files it has, and how many of them cannot be used.
    files: int = 0
    problems: int = 0


@dataclass(frozen=True, slots=True)
class NewSource:
    """What a source is made of, or what of one is to be changed to."""

    name: str
    kind: SourceKind
    location: str
    #: The slug of a namespace; ``None``: the patterns say it with ``{namespace}``.
    namespace: str | None = None
    branch: str = ""
    folder: str = ""
    patterns: tuple[str, ...] | None = None
    removed: Removed = "keep"
    edits: Edits = "refuse"
    activate: bool = True


@dataclass(frozen=True, slots=True)
class FileState:
    """What is known of a file of a source."""

    #: Relative to the source, with ``/``.
    path: str
    #: The path of the environment that it defines, e.g. ``"analytics/forecast"``; ``None``: none.
    environment: str | None
    #: Of the bytes that were taken last, in hex digits; empty: none were. What cannot be used is
    #: not taken: then it is of what the file had before.
    sha256: str
    #: Why the file cannot be used; empty: it can.
    problem: str
    #: When anything of this has changed last.
    seen_at: datetime
    #: When it was found to be gone; ``None``: it is there.
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Management:
    """Which file defines an environment."""

    source_id: int
    #: The source's name.
    source: str
    #: The file, relative to the source.
    path: str
    #: Why the file, or all of its source, cannot be used; empty: it can.
    problem: str
    edits: Edits
    #: Whether that is said of the source: for those who see it, as its address may be in it.
    is_of_source: bool = False
