"""Files of this machine, sent to a source of a server whenever they change.

What is to be done is decided as servers decide it (:mod:`registry.watcher.looking`); here it is
said to a server by its API. A server that is away is waited for: nothing counts as done that it has
not answered, and so it is told then.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, Protocol
from urllib.parse import quote

from registry.cli.api import Api, Document, Refused, Unreachable
from registry.cli.remote import RemoteError
from registry.errors import SourceUnreachable
from registry.watcher.looking import Finding, Looking
from registry.watcher.nudges import Nudges
from registry.watcher.settling import Change

#: Larger files are not read: no server takes more.
MAX_BYTES: Final = 64 * 1024**2
#: So many files are sent at once: each is answered when all servers know of it.
_AT_ONCE: Final = 8
#: How often the files are looked at though the system has told of no change.
_LOOK_SECONDS: Final = 30.0
#: How often what the server has not taken is sent again: a quota may be a larger one by then.
_RETRY_SECONDS: Final = 600.0
#: A look begins so long after the one before at the earliest.
_STEP_SECONDS: Final = 0.1
#: How long what is away is waited for at first, and at most.
_FIRST_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 30.0
#: Answers that may be others in a moment.
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
#: Answers after which no other file fares better: the source, or the right to it, is gone.
_FINAL: Final = frozenset({401, 403, 404})


class Told(Protocol):
    """Is told what is done; what it does with it is its own affair."""

    def sent(self, path: str, file: Document) -> None:
        """A file was sent; ``file`` is what the server says of it."""
        ...

    def gone(self, path: str) -> None:
        """A file is no more, and the server knows it."""
        ...

    def waiting(self, sentence: str) -> None:
        """Something does not go on, which is tried again."""
        ...

    def going_on(self) -> None:
        """What was waited for has happened."""
        ...


class Sending:
    """Sends what one directory has to one source.

    Args:
        api: The server.
        source: The number of the source.
        looking: Says what is to be done.
        told: Is told of it.
        pause_seconds: How long a server that is away, or a directory, is waited for at first.
    """

    def __init__(
        self,
        api: Api,
        source: int,
        looking: Looking,
        told: Told,
        pause_seconds: float = _FIRST_SECONDS,
    ) -> None:
        self._api = api
        self._source = source
        self._looking = looking
        self._told = told
        self._pause_seconds = pause_seconds
        self._clock: Callable[[], float] = asyncio.get_running_loop().time

    async def once(self) -> None:
        """Return when the server knows all that there is now.

        Raises:
            RemoteError: It does not answer or refuses, or there are no files.
        """
        while True:
            try:
                await self._look()
            except SourceUnreachable as exc:
                raise RemoteError(exc.message) from exc
            wait = self._looking.wait_seconds(self._clock())
            if wait is None:
                return
            await asyncio.sleep(max(wait, _STEP_SECONDS))

    async def for_ever(self) -> None:
        """Send what changes until this is cancelled.

        Raises:
            RemoteError: The server refuses for good.
        """
        news, pause, tried = asyncio.Event(), 0.0, self._clock()
        with closing(Nudges(news)) as nudges:
            while True:
                news.clear()
                if self._clock() - tried > _RETRY_SECONDS:
                    tried = self._clock()
                    self._looking.retry()
                try:
                    await self._look()
                    nudges.follow(self._looking.listing.folders)
                except (SourceUnreachable, Unreachable, Refused) as exc:
                    if isinstance(exc, Refused) and exc.status not in _PASSING:
                        raise
                    if not pause:
                        self._told.waiting(str(exc))
                    pause = min(max(self._pause_seconds, pause * 2), _LAST_SECONDS)
                    await asyncio.sleep(pause)
                    continue
                if pause:
                    self._told.going_on()
                pause = 0.0
                await self._rest(news)

    async def _rest(self, news: asyncio.Event) -> None:
        """Return when it is time to look again."""
        wait = self._looking.wait_seconds(self._clock())
        if wait is not None:
            # A file that goes on changing is not looked at with each change.
            await asyncio.sleep(max(wait, _STEP_SECONDS))
            return
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await news.wait()
        except TimeoutError:
            pass

    async def _look(self) -> None:
        now = self._clock()
        changes = await self._looking.look(now)
        there = [change for change in changes if not change.is_gone]
        gone = [change for change in changes if change.is_gone]
        # What is renamed is there before it is gone, and so keeps what it can.
        for some in (there, gone):
            try:
                await self._hand_over(some, now)
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _hand_over(self, changes: Sequence[Change], now: float) -> None:
        room = asyncio.Semaphore(_AT_ONCE)

        async def hand_over(finding: Finding) -> None:
            try:
                is_taken = await self._carry_out(finding)
            finally:
                room.release()
            self._looking.done(finding, is_taken=is_taken)

        async with asyncio.TaskGroup() as group:
            for change in changes:
                await room.acquire()  # else all texts would be in memory
                finding = await self._looking.read(change, now)
                if finding is None:
                    room.release()
                else:
                    group.create_task(hand_over(finding))

    async def _carry_out(self, finding: Finding) -> bool:
        """Tell the server, and return whether it has taken what it was told."""
        if finding.is_gone:
            await self._api.send("DELETE", self._address(finding))
            self._told.gone(finding.path)
            return True
        try:
            file = await self._put(finding, finding.problem)
        except Refused as exc:
            if exc.status in _PASSING | _FINAL:
                raise
            # It is this file that the server does not take, and the server is to show why.
            file = await self._put(finding, str(exc))
        self._told.sent(finding.path, file)
        return not file["problem"]

    async def _put(self, finding: Finding, problem: str) -> Document:
        place = finding.place
        query = {"problem": problem, "environment": place.environment if place else None}
        body = b"" if problem else finding.data
        reply = await self._api.send("PUT", self._address(finding), query=query, body=body)
        return self._api.document(reply)

    def _address(self, finding: Finding) -> str:
        return f"sources/{self._source}/files/{quote(finding.path)}"
