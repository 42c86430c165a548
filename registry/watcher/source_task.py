"""Looks at one source as long as this server has it, and hands what is found to the catalog."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from registry.catalog.slugs import environment_slug
from registry.catalog.source_files import SourceFiles
from registry.catalog.source_patterns import Patterns, parse_patterns
from registry.catalog.source_records import FileState, SourceRecord
from registry.catalog.sources import Sources
from registry.errors import (
    CatalogNameInvalid,
    DatabaseUnavailable,
    SourceInvalid,
    SourceUnknown,
    SourceUnreachable,
)
from registry.watcher.looking import Finding, KnownFile, Looking
from registry.watcher.nudges import Nudges
from registry.watcher.settling import Change, Settling
from registry.watcher.trees import Tree

_log = structlog.get_logger("registry.watcher")

#: A look begins so long after the one before at the earliest.
_STEP_SECONDS: Final = 0.1
#: So long nothing is tried after the database, or something else, did not answer.
_PAUSE_SECONDS: Final = 2.0
#: How soon is looked again at what could not be looked at, before anybody is told.
_RETRY_SECONDS: Final = 2.0
#: How often it is written down that a source was looked at, though nothing else has changed.
_REPORT_SECONDS: Final = 60.0
#: So many times what a look has taken of a processor nothing is looked at, unless somebody asks.
_REST: Final = 150
#: So many files are handed over at once: each waits until all servers know of it.
_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Watched:
    """How a source is looked at."""

    tree: Tree
    #: How an environment is called that a file in the root defines.
    root_name: str
    #: How often is looked though nothing has told of a change, in seconds.
    seconds: float
    #: Whether files are perhaps written while they are read, and the system tells of changes.
    is_moving: bool
    #: How often looking may fail before that is told.
    tries: int = 1
    #: Tells whether this server has what is looked at, if another one may have it instead.
    is_there: Callable[[], Awaitable[bool]] | None = None


class SourceTask:
    """Looks at a source.

    Args:
        source: Which; whoever changes it has it looked at by another task.
        watched: How.
        sources: Is told of the source.
        files: Are told of its files.
        by: Who has claimed it.
        now: The time as the database writes it.
    """

    def __init__(
        self,
        source: SourceRecord,
        watched: Watched,
        sources: Sources,
        files: SourceFiles,
        by: str,
        now: Callable[[], datetime],
    ) -> None:
        self.source = source
        self.watched = watched
        self._sources = sources
        self._files = files
        self._by = by
        self._now = now
        self._news = asyncio.Event()
        self._is_asked = source.asked_at is not None
        self._asked_at = source.asked_at
        #: What was written down last, and when.
        self._reported: tuple[str, str] | None = None
        self._reported_at = 0.0
        self._failures = 0

    @property
    def has_failed(self) -> bool:
        """Whether it is told that the source cannot be looked at."""
        return self._reported is not None and bool(self._reported[0])

    def ask(self, asked_at: datetime | None) -> None:
        """Look at once, if somebody has asked for it who has not asked before."""
        if asked_at is not None and asked_at != self._asked_at:
            self._asked_at = asked_at
            self._is_asked = True
            self._news.set()

    async def run(self) -> None:
        """Look until cancelled, or until the source is gone."""
        nudges = Nudges(self._news)
        looking: Looking | None = None
        clock = asyncio.get_running_loop().time
        try:
            while True:
                self._news.clear()
                try:
                    looking = looking or await self._begin()
                    await self._look(looking, clock())
                    if self.watched.is_moving:
                        nudges.follow(looking.listing.folders)
                    await self._rest(looking)
                except SourceUnknown:  # or it is another server's
                    return
                except DatabaseUnavailable:
                    await asyncio.sleep(_PAUSE_SECONDS)
                except Exception:  # noqa: BLE001 (logged; one source stops no other)
                    _log.exception("failed to look at a source", source=self.source.name)
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            nudges.close()

    async def _begin(self) -> Looking:
        """Return what looks at the tree, knowing what the catalog knows.

        Raises:
            DatabaseUnavailable: It does not answer.
            SourceUnknown: The source is gone.
        """
        patterns = parse_patterns(
            self.source.patterns,
            has_namespace=self.source.namespace is not None,
            root_name=self.watched.root_name,
        )
        known = {
            path: _known(state, patterns)
            for path, state in (await self._files.known(self.source.id)).items()
        }
        is_moving = self.watched.is_moving
        settling = (
            Settling(known) if is_moving else Settling(known, quiet_seconds=0, most_seconds=0)
        )
        return Looking(self.watched.tree, patterns, known, settling, is_moving=is_moving)

    async def _look(self, looking: Looking, now: float) -> None:
        began_at, is_asked = self._now(), self._is_asked
        self._is_asked = False
        if is_asked:
            looking.retry()
        try:
            changes = await looking.look(now)
            await self._take(looking, changes, now)
        except SourceUnreachable as exc:
            self._failures += 1
            if self._failures >= self.watched.tries or is_asked or self._reported is None:
                await self._report(exc.message, "", began_at, is_asked=is_asked)
            return
        except BaseException:
            self._is_asked = is_asked or self._is_asked
            raise
        self._failures = 0
        await self._report("", looking.listing.commit, began_at, is_asked=is_asked)

    async def _take(self, looking: Looking, changes: Sequence[Change], now: float) -> None:
        """Hand over what is due: what is there first, so that what is renamed keeps its name."""
        there = [change for change in changes if not change.is_gone]
        gone = [change for change in changes if change.is_gone]
        for some in (there, gone):
            room = asyncio.Semaphore(_AT_ONCE)
            failed: list[Exception] = []
            async with asyncio.TaskGroup() as group:
                for change in some:
                    finding = await looking.read(change, now)
                    if finding is None:
                        continue
                    await room.acquire()
                    if failed:
                        room.release()
                        break
                    group.create_task(self._carry_out(looking, finding, room, failed))
            if failed:
                raise failed[0]

    async def _carry_out(
        self, looking: Looking, finding: Finding, room: asyncio.Semaphore, failed: list[Exception]
    ) -> None:
        try:
            is_taken = await self._hand_over(finding)
            looking.done(finding, is_taken=is_taken)
        except Exception as exc:  # noqa: BLE001 (raised again when the others have ended)
            failed.append(exc)
        finally:
            room.release()

    async def _hand_over(self, finding: Finding) -> bool:
        """Tell the catalog of a file, and return whether its text was taken."""
        number, path, place = self.source.id, finding.path, finding.place
        try:
            if finding.is_gone:
                await self._files.gone(number, path, by=self._by)
                return True
            if finding.data is None or place is None:
                await self._files.fail(number, path, finding.problem, by=self._by)
                return False
            state = await self._files.put(
                number,
                path,
                finding.data,
                environment=place.environment,
                namespace=place.namespace,
                by=self._by,
            )
        except SourceInvalid as exc:  # no such path can be written down
            _log.warning("failed to take a file", source=self.source.name, why=exc.message)
            return False
        return not state.problem

    async def _report(
        self, problem: str, commit: str, began_at: datetime, *, is_asked: bool
    ) -> None:
        clock = asyncio.get_running_loop().time()
        said = (problem, commit)
        is_late = clock - self._reported_at > _REPORT_SECONDS
        if said == self._reported and not is_asked and not is_late:
            return
        await self._sources.report(
            self.source.id, self._by, began_at=began_at, problem=problem, commit=commit or None
        )
        self._reported, self._reported_at = said, clock

    async def _rest(self, looking: Looking) -> None:
        """Return when it is time to look again."""
        clock = asyncio.get_running_loop().time
        wait = looking.wait_seconds(clock())
        if self._is_asked:
            wait = 0.0
        if self._failures and self._failures < self.watched.tries:
            wait = min(_RETRY_SECONDS, self.watched.seconds)
        if wait is None:
            wait = max(self.watched.seconds, _REST * looking.listing.cpu_seconds)
        await asyncio.sleep(_STEP_SECONDS)
        try:
            async with asyncio.timeout(max(0.0, wait - _STEP_SECONDS)):
                await self._news.wait()
        except TimeoutError:
            pass


def _known(state: FileState, patterns: Patterns) -> KnownFile:
    """Return what the catalog knows of a file; what is not as it should be is handed over again."""
    defines = state.environment is not None
    match = patterns.match(state.path)
    if state.problem or match is None or not defines:
        return KnownFile("", defines)
    namespace, _, slug = (state.environment or "").rpartition("/")
    place = match.place
    try:
        is_same = slug == environment_slug(place.environment)
        is_same &= place.namespace is None or namespace == environment_slug(place.namespace)
    except CatalogNameInvalid:
        is_same = False
    return KnownFile(state.sha256 if is_same else "", defines)
