"""What is to be done about a tree, look by look: which files to take, to tell of, or to forget.

It puts together what the others know: which files there are (:mod:`.trees`), which of them define
an environment (:mod:`registry.catalog.source_patterns`), and when one is to be read
(:mod:`.settling`). Servers and ``pullforge watch`` use it alike::

    for change in await looking.look(now):
        finding = await looking.read(change, now)
        if finding is not None:
            ...                                      # hand it over; if that fails, do no more
            looking.done(finding)
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from registry.catalog.source_patterns import Match, Patterns, Place
from registry.errors import SourceFileUnreadable, SourceUnreachable
from registry.watcher.settling import Change, Settling
from registry.watcher.sniffing import looks_like_environment, looks_whole
from registry.watcher.trees import Listing, Tree, TreeFile

#: So many paths are remembered with what they define.
_MAX_MATCHES: Final = 200_000
#: What stands in the place of a file by Git LFS.
_POINTER: Final = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class _Problem:
    """Is a token of what cannot be read."""

    sentence: str


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that whoever is told knows of already."""

    #: Of the text that was taken, in hex digits; empty: whoever is told is to be told again.
    sha256: str = ""
    #: Whether it defines an environment: it counts whatever its text is by now.
    defines: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to do about a file: take its text, tell why it cannot be used, or forget it."""

    change: Change
    #: Which environment it defines; ``None``: none, or it is gone.
    place: Place | None = None
    #: Its text; ``None``: it has none that could be taken.
    data: bytes | None = None
    #: Why it cannot be used; empty: it can.
    problem: str = ""

    @property
    def path(self) -> str:
        """Where the file is, relative to the tree."""
        return self.change.path

    @property
    def is_gone(self) -> bool:
        """Whether there is no such file any more, or it counts no more."""
        return self.change.is_gone


class Looking:
    """Looks at one tree again and again; for one task.

    Args:
        tree: What is looked at.
        patterns: Which file defines what.
        known: All files that whoever is told knows of, by path.
        settling: When a file is read; ``None``: as soon as it was quiet for a moment.
        is_moving: Whether files are perhaps written while they are read.
    """

    def __init__(
        self,
        tree: Tree,
        patterns: Patterns,
        known: Mapping[str, KnownFile],
        settling: Settling | None = None,
        *,
        is_moving: bool = True,
    ) -> None:
        self._tree = tree
        self._patterns = patterns
        #: What was taken of each file, as :class:`KnownFile` has it.
        self._sums = {path: file.sha256 for path, file in known.items()}
        self._defining = {path for path, file in known.items() if file.defines}
        self._settling = settling or Settling(known)
        self._is_moving = is_moving
        self._listing = Listing()
        self._places: Mapping[str, Place] = {}
        self._tokens: dict[str, object] = {}
        self._matches: dict[str, Match | None] = {}
        #: Of files with names that say nothing: the token, and whether its text is an environment.
        self._sniffed: dict[str, tuple[str, bool]] = {}
        self._identity = ""

    @property
    def listing(self) -> Listing:
        """What the last look has found."""
        return self._listing

    async def look(self, now: float) -> list[Change]:
        """Return what is due, as :meth:`Settling.look` does.

        Raises:
            SourceUnreachable: Nothing can be said of the tree, and so of no file.
        """
        listing = await self._tree.list(lambda path: self._match(path) is not None)
        self._require_files(listing)
        is_same = (listing.files, listing.problems) == (self._listing.files, self._listing.problems)
        self._listing = listing
        if not is_same or not self._tokens:
            counting = await self._counting(listing)
            self._tokens, self._places = await asyncio.to_thread(self._chosen, listing, counting)
        return self._settling.look(self._tokens, now)

    def _match(self, path: str) -> Match | None:
        if path not in self._matches:
            if len(self._matches) > _MAX_MATCHES:
                self._matches.clear()
            self._matches[path] = self._patterns.match(path)
        return self._matches[path]

    async def read(self, change: Change, now: float) -> Finding | None:
        """Return what is to be done about a change; ``None``: nothing, or not yet.

        Raises:
            SourceUnreachable: As :meth:`look`.
        """
        if change.is_gone:
            return Finding(change)
        place = self._places.get(change.path)
        file = self._listing.files.get(change.path)
        if isinstance(change.token, _Problem):
            return Finding(change, place, problem=change.token.sentence)
        try:
            data = await self._tree.read(file) if file is not None else None
        except SourceFileUnreadable as exc:
            return Finding(change, place, problem=exc.message)
        if data is None or await self._waits(change, data, now):
            return None
        problem = _problem_of(data)
        return Finding(change, place, None if problem else data, problem)

    async def _waits(self, change: Change, data: bytes, now: float) -> bool:
        """Tell whether nothing is to be done: a text is as it was, or perhaps half of one."""
        if self._sums.get(change.path) == _sum(data):
            self._settling.take(change)
            return True
        if not self._is_moving or await asyncio.to_thread(looks_whole, data):
            return False
        return self._settling.hold(change, now)

    def done(self, finding: Finding, *, is_taken: bool = True) -> None:
        """Note that what was to be done is done.

        Args:
            finding: What it was.
            is_taken: Whether its text was taken, if it has one: else it is handed over again
                when somebody asks for it, also if it is as it was.
        """
        path = finding.path
        self._settling.take(finding.change)
        if finding.is_gone:
            self._sums.pop(path, None)
            self._defining.discard(path)
            return
        is_taken = is_taken and finding.data is not None
        # Of a text that was refused, nothing is kept: whoever goes back to the one before has it
        # taken again.
        self._sums[path] = _sum(finding.data) if is_taken and finding.data is not None else ""
        if is_taken:
            self._defining.add(path)

    def retry(self) -> None:
        """Have all that was not taken handed over again: what was in its way may be gone."""
        for path, taken in self._sums.items():
            if not taken:
                self._settling.forget(path)

    def wait_seconds(self, now: float) -> float | None:
        """Return after how many seconds to look again; ``None``: nothing is under way."""
        return self._settling.wait_seconds(now)

    def _require_files(self, listing: Listing) -> None:
        """Return if a tree without files is to be believed.

        What was mounted may be gone, and what replaces a directory may not be there yet.

        Raises:
            SourceUnreachable: It is not.
        """
        files = len(self._defining)
        if listing.files or listing.problems or not files or not listing.identity:
            self._identity = listing.identity
            return
        is_same = listing.identity == self._identity
        if is_same and (files == 1 or not listing.is_empty):
            return
        raise SourceUnreachable(
            f"there is no file any more where {files} were, and nothing was removed: if that is"
            " meant, delete the source; if something is to be mounted there, that has not happened"
        )

    async def _counting(self, listing: Listing) -> set[str]:
        """Return the files that may define an environment: of some, only their text tells."""
        counting = set(listing.files)
        for path, file in listing.files.items():
            match = self._match(path)
            if match is None or not match.is_loose or path in self._defining:
                continue
            token, counts = self._sniffed.get(path, ("", False))
            if token != file.token:
                counts = await self._counts(file, otherwise=counts)
            if not counts:
                counting.discard(path)
        return counting

    async def _counts(self, file: TreeFile, *, otherwise: bool) -> bool:
        try:
            data = await self._tree.read(file)
        except SourceFileUnreadable:
            return True  # whoever reads it says why
        if data is None:
            return otherwise
        counts = await asyncio.to_thread(looks_like_environment, data)
        self._sniffed[file.path] = (file.token, counts)
        return counts

    def _chosen(
        self, listing: Listing, counting: set[str]
    ) -> tuple[dict[str, object], Mapping[str, Place]]:
        """Return what tells one state of each file from the next, of those that matter.

        It computes, for a moment for each thousand files.
        """
        problems = dict(listing.problems)
        chosen = self._patterns.choose([*counting, *problems])
        for path, sentence in chosen.problems.items():
            problems.setdefault(path, sentence)
        folders = tuple(f"{path}/" for path in listing.problems)
        for path in self._sums.keys() - listing.files.keys() - problems.keys():
            if path.startswith(folders):
                folder = next(one for one in folders if path.startswith(one))
                problems[path] = f"its folder {folder} cannot be looked into"
        tokens: dict[str, object] = {
            path: listing.files[path].token for path in chosen.places if path not in problems
        }
        return tokens | {path: _Problem(why) for path, why in problems.items()}, chosen.places


def _problem_of(data: bytes) -> str:
    if data.startswith(_POINTER):
        return "it is a pointer of Git LFS, which is not followed"
    return "" if data.strip() else "the file is empty"


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
