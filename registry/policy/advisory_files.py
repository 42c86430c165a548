"""Advisories in files, read again when they change.

What is read is cut into pieces that a process reads in seconds. A file, or a member of an archive,
that cannot be used changes nothing: what it said before holds, and what is wrong is told. What a
file said goes with it.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from builder.errors import DomainError, WorkerLost
from builder.ports import Workers
from builder.rules.model import Advisory
from registry.errors import PolicyTextInvalid
from registry.policy.advisories import united
from registry.policy.advisory_reading import (
    FileRead,
    Piece,
    cut_archive,
    pieces_of,
    read_piece,
)
from registry.policy.book import PolicyBook
from registry.policy.places import Found, Place, PlaceUnreadable, Watched

_log = structlog.get_logger("registry.policy")

#: How often the place is looked at, in seconds; what is new is taken at the second look.
LOOK_SECONDS: Final = 10.0
#: A piece is read in less, unless the machine has other things to do.
_PIECE_SECONDS: Final = 120
#: So many pieces are read at once: others want the processes, too.
_AT_ONCE: Final = 2
#: More problems than anybody reads; of the rest there is the number.
_MAX_PROBLEMS: Final = 100


class AdvisoryFiles:
    """Keeps a book as a file or a directory is.

    Args:
        place: Where they are.
        book: Gets what they say.
        workers: Read them.
    """

    def __init__(self, place: Place, book: PolicyBook, workers: Workers) -> None:
        self._place = place
        self._book = book
        self._workers = workers
        self._watched = Watched()
        #: By file and member.
        self._said: dict[str, dict[str, tuple[Advisory, ...]]] = {}
        self._problems: dict[str, dict[str, PolicyTextInvalid]] = {}

    async def start(self) -> None:
        """Read everything. What cannot be used of it is told, and keeps nobody from starting.

        Twenty thousand take a quarter of a minute: nothing is built that they would refuse.

        Raises:
            PolicyTextInvalid: There is no such place.
        """
        try:
            await self._look()
        except PlaceUnreadable as exc:
            raise PolicyTextInvalid(str(self._place.path), str(exc)) from exc

    async def follow(self) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take in what has changed; never raises."""
        try:
            await self._look()
        except PlaceUnreadable as exc:
            problem = PolicyTextInvalid(str(self._place.path), f"{exc}; what was holds")
            self._book.put_problems("advisories", [problem])
        except Exception:  # noqa: BLE001 - logged; what was holds, and the next look may succeed
            _log.exception("failed to read advisories")

    async def _look(self) -> None:
        found = await asyncio.to_thread(self._place.files)
        changed, gone = self._watched.changes(found)
        for name in gone:
            self._said.pop(name, None)
            self._problems.pop(name, None)
        if changed:
            try:
                await self._read(found, changed)
            except BaseException:
                self._watched.look_again(changed)
                raise
        if changed or gone:
            said = [part for members in self._said.values() for part in members.values()]
            known = self._book.advisories
            advisories = await asyncio.to_thread(_united_unless, known, said)
            if advisories is not None:
                self._book.put_advisories(advisories)
            count = len(self._book.advisories)
            _log.info("read advisories again", files=len(changed) + len(gone), advisories=count)
        self._book.put_problems("advisories", self._told(found))

    async def _read(self, found: Found, names: list[str]) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def read(piece: Piece) -> dict[str, list[FileRead]]:
            async with turns:
                return await self._read_piece(piece)

        reads: dict[str, list[FileRead]] = {}
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(read(piece)) for piece in pieces_of(found.stamps, names)]
        for task in running:
            reads.update(task.result())
        for name, parts in reads.items():
            self._take(name, parts)

    async def _read_piece(self, piece: Piece) -> dict[str, list[FileRead]]:
        """Return what a piece says: of an archive, in as many parts as it was cut into."""
        name = piece.names[0]
        if not name.lower().endswith(".zip"):
            return {name: [read] for name, read in (await self._carry_out(piece)).items()}
        try:
            async with asyncio.timeout(_PIECE_SECONDS):
                parts = await self._workers.run(cut_archive, self._place, name)
        except (DomainError, TimeoutError) as exc:
            return {name: [_not_read(name, exc)]}
        if isinstance(parts, FileRead):
            return {name: [parts]}
        return {name: [(await self._carry_out(part))[name] for part in parts]}

    async def _carry_out(self, piece: Piece) -> dict[str, FileRead]:
        try:
            return await self._run(piece)
        except (DomainError, TimeoutError):
            pass
        # One of the files is more than a process can bear, or another piece was: each by itself.
        if len(piece.names) == 1:
            try:
                return await self._run(piece)
            except (DomainError, TimeoutError) as exc:
                return {piece.names[0]: _not_read(piece.names[0], exc)}
        found: dict[str, FileRead] = {}
        for name in piece.names:
            found |= await self._carry_out(Piece((name,)))
        return found

    async def _run(self, piece: Piece) -> dict[str, FileRead]:
        async with asyncio.timeout(_PIECE_SECONDS):
            return await self._workers.run(read_piece, self._place, piece)

    def _take(self, name: str, parts: list[FileRead]) -> None:
        """Know what a file says, and of what cannot be used what it said before."""
        problems: dict[str, PolicyTextInvalid] = {}
        said: dict[str, tuple[Advisory, ...]] = {}
        for part in parts:
            problems |= part.problems
            said |= part.said
        before = self._said.get(name, {})
        if "" in problems:
            said = before | said
        said |= {member: before[member] for member in problems if member in before}
        self._said[name] = {member: found for member, found in said.items() if found}
        self._problems[name] = problems
        if any(part.is_passing for part in parts):
            self._watched.look_again([name])

    def _told(self, found: Found) -> list[PolicyTextInvalid]:
        problems = [*found.problems.values()]
        problems += [one for members in self._problems.values() for one in members.values()]
        if not problems and not any(self._said.values()):
            nothing = "there is no advisory in it about packages of conda or PyPI"
            return [PolicyTextInvalid(str(self._place.path), nothing)]
        if len(problems) > _MAX_PROBLEMS:
            more = f"{len(problems) - _MAX_PROBLEMS} more cannot be used"
            problems = [*problems[:_MAX_PROBLEMS], PolicyTextInvalid(str(self._place.path), more)]
        return problems


def _united_unless(
    known: Iterable[Advisory], said: list[tuple[Advisory, ...]]
) -> tuple[Advisory, ...] | None:
    """Return all that was said; ``None`` if that is known."""
    found = united(advisory for part in said for advisory in part)
    return None if found == tuple(known) else found


def _not_read(name: str, error: DomainError | TimeoutError) -> FileRead:
    reason = "reading it takes more time than there is"
    if isinstance(error, WorkerLost):
        reason = "whatever reads it dies, perhaps for lack of memory"
    elif isinstance(error, DomainError):
        reason = error.message
    is_passing = isinstance(error, DomainError) and not isinstance(error, WorkerLost)
    return FileRead(problems={"": PolicyTextInvalid(name, reason)}, is_passing=is_passing)
