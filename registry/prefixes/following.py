"""A root that follows its server: a pass as soon as something changes, and every so often anyhow.

The server is asked with what is known, and answers when something else is to be told, or after a
while that nothing is. What is known is of no weight: each pass looks at the root itself, so whoever
begins anew asks for everything, and finds most of it there.

::

    asked, nothing new            it is asked again
    asked, something else         a pass
    a pass takes long             it is asked meanwhile; something else ends the pass for another
    a pass had problems           another one after 10 s, 20 s, … five minutes
    no pass for ten minutes       one all the same: somebody may have done something by hand
    no answer                     asked again after 1 s, 2 s, … a minute; all stays as it is
    a wait breaks off             perhaps a proxy cuts it: asked at once without a wait, and if that
                                  is answered, with shorter waits from then on

Pauses are shortened by chance, so that a thousand machines do not come back at once.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from registry.errors import PrefixError, PrefixSourceUnavailable, RootUnusable
from registry.prefixes.server import Server, Wanted

#: For how long the server is to wait for news: proxies cut what is silent for 30 s or a minute.
WAIT_SECONDS: Final = 25.0
FULL_SECONDS: Final = 600.0
#: The shortest wait that is asked for; a server that does not wait is asked as seldom.
_LEAST_WAIT_SECONDS: Final = 2.0
#: Between two passes for something else that is wanted.
_NEWS_SECONDS: Final = 1.0
_AWAY_SECONDS: Final = (1.0, 60.0)
_PROBLEM_SECONDS: Final = (10.0, 300.0)
#: A pass that takes longer is a long one.
_LONG_SECONDS: Final = 2.0


#: Makes one pass; is told whether something else is wanted meanwhile.
Reconcile = Callable[[Wanted, Callable[[], bool]], Awaitable[bool]]


class Listener(Protocol):
    """Is told how it goes."""

    def answered(self, *, has_news: bool) -> None:
        """Note that the server has said what is to be there: something else, or not."""
        ...

    def failed(self, error: PrefixError) -> None:
        """Note that the server does not answer, or the root cannot be used; it is tried again."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """What is followed, and how."""

    #: As :meth:`registry.prefixes.server.Server.wanted` takes them.
    only: tuple[str, ...] = ()
    versions: int | None = 0
    wait_seconds: float = WAIT_SECONDS
    full_seconds: float = FULL_SECONDS


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance; tests have others."""

    #: Seconds, of which only differences count.
    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    #: Between 0 and 1.
    chance: Callable[[], float] = random.random


class Pauses:
    """Pauses that double up to the longest, each shortened by chance to no less than half.

    >>> pauses = Pauses(1, 5, chance=lambda: 1.0)
    >>> [pauses.next() for _ in range(4)]
    [1.0, 2.0, 4.0, 5.0]
    """

    def __init__(self, first: float, longest: float, chance: Callable[[], float]) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self._number = 0

    def next(self) -> float:
        """Return the next one, in seconds."""
        whole = min(self._first * 2.0 ** min(self._number, 30), self._longest)
        self._number += 1
        return whole * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """Begin with the first again."""
        self._number = 0


async def follow(
    server: Server,
    reconcile: Reconcile,
    followed: Followed,
    listener: Listener,
    clock: Clock | None = None,
) -> None:
    """Keep a root equal to what a server says, until this is cancelled.

    Args:
        server: Is asked again and again.
        reconcile: Makes one pass, and tells whether the root is as it is to be. It begins nothing
            that takes long once something else is wanted, as the function says that it is given. If
            it raises :class:`registry.errors.PrefixError`, another pass is made later.
        followed: What is followed.
        listener: Is told how it goes.
        clock: ``None``: that of the machine.

    Raises:
        RootUnusable: By the first pass: nothing was ever done there.
    """
    clock = clock or Clock(asyncio.get_running_loop().time)
    await _Following(server, reconcile, followed, listener, clock).run()


class _Following:
    def __init__(
        self,
        server: Server,
        reconcile: Reconcile,
        followed: Followed,
        listener: Listener,
        clock: Clock,
    ) -> None:
        self._server = server
        self._reconcile = reconcile
        self._followed = followed
        self._listener = listener
        self._clock = clock
        self._away = Pauses(*_AWAY_SECONDS, clock.chance)
        self._problems = Pauses(*_PROBLEM_SECONDS, clock.chance)
        self._wait_seconds = followed.wait_seconds
        #: After how long the last wait broke off, until the server answers without one.
        self._cut_seconds: float | None = None
        self._wanted: Wanted | None = None
        #: When something else was wanted last.
        self._news_at = clock.now() - _NEWS_SECONDS
        self._has_passed = False
        self._due = clock.now()

    async def run(self) -> None:
        """Ask and pass, for ever."""
        while True:
            try:
                has_news = await self._ask()
            except PrefixSourceUnavailable as exc:
                if self._cut_seconds is None:
                    self._listener.failed(exc)
                    await self._clock.sleep(self._away.next())
            else:
                if has_news or self._clock.now() >= self._due:
                    while await self._pass():
                        self._listener.answered(has_news=True)

    async def _ask(self) -> bool:
        """Tell whether something else is wanted than before; wait for it as long as may be.

        Raises:
            PrefixSourceUnavailable: There is no answer.
        """
        clock, known = self._clock, self._wanted.etag or None if self._wanted else None
        begun = clock.now()
        wait = min(self._wait_seconds, max(self._due - begun, 1.0))
        if known is None or self._cut_seconds is not None or begun >= self._due:
            wait = 0.0
        try:
            found = await self._server.wanted(
                self._followed.only, self._followed.versions, known, wait
            )
        except PrefixSourceUnavailable:
            # A wait that breaks off says nothing of the server; a question without a wait does.
            self._cut_seconds = clock.now() - begun if wait else None
            raise
        has_news = found is not None and not _is_same(found, self._wanted)
        self._listener.answered(has_news=has_news)
        self._away.reset()
        now = clock.now()
        spent = now - begun
        if found is not None:
            self._note_wait(None)
            self._wanted = found
            # It does not wait, or a proxy takes away what stands for an answer.
            least = _LEAST_WAIT_SECONDS if begun < self._due else 0.0
        else:
            self._note_wait(wait > 0 and spent >= wait - 0.5)
            # It does not wait, or a proxy does not tell it to.
            least = min(wait, _LEAST_WAIT_SECONDS)
        if has_news:
            # Something else each time that it is asked ends in a pass every second.
            least, spent = _NEWS_SECONDS, now - self._news_at
        if spent < least:
            await clock.sleep(least - spent)
        if has_news:
            self._news_at = clock.now()
        return has_news

    def _note_wait(self, is_whole: bool | None) -> None:
        """Have later waits be shorter if one broke off, and longer if one was answered in time."""
        if self._cut_seconds is not None:
            self._wait_seconds = max(
                min(self._cut_seconds, self._wait_seconds) * 0.8, _LEAST_WAIT_SECONDS
            )
            self._cut_seconds = None
        elif is_whole:
            self._wait_seconds = min(self._wait_seconds * 1.05, self._followed.wait_seconds)

    async def _pass(self) -> bool:
        """Make a pass, and say when the next one is due; whether it is due now.

        Raises:
            RootUnusable: It was the first one.
        """
        assert self._wanted is not None
        is_equal = False
        news: list[Wanted] = []
        try:
            is_equal = await self._reconciled(self._wanted, news)
        except PrefixError as exc:
            if isinstance(exc, RootUnusable) and not self._has_passed:
                raise
            self._listener.failed(exc)
        self._has_passed = True
        if news:
            self._wanted = news[0]
            return True
        if is_equal:
            self._problems.reset()
            pause = self._followed.full_seconds * (0.9 + 0.2 * self._clock.chance())
        else:
            pause = self._problems.next()
        self._due = self._clock.now() + pause
        return False

    async def _reconciled(self, wanted: Wanted, news: list[Wanted]) -> bool:
        """Make a pass; what else is wanted meanwhile is added to ``news``."""
        passing = asyncio.ensure_future(self._reconcile(wanted, lambda: bool(news)))
        watching: asyncio.Future[None] | None = None
        try:
            if not (await asyncio.wait({passing}, timeout=_LONG_SECONDS))[0]:
                watching = asyncio.ensure_future(self._watch(wanted, news))
            return await passing
        finally:
            for task in (passing, watching):
                if task is not None:
                    task.cancel()
                    # Whatever it is, it has been raised, or is of no interest any more.
                    with suppress(asyncio.CancelledError, Exception):
                        await task

    async def _watch(self, wanted: Wanted, news: list[Wanted]) -> None:
        """Wait until something else is wanted than what a pass is made for."""
        followed, pauses = self._followed, Pauses(*_AWAY_SECONDS, self._clock.chance)
        while not news:
            begun, found = self._clock.now(), None
            with suppress(PrefixSourceUnavailable):  # the pass meets it, too
                found = await self._server.wanted(
                    followed.only, followed.versions, wanted.etag, self._wait_seconds
                )
                pauses.reset()
            if found is not None and not _is_same(found, wanted):
                news.append(found)
            elif self._clock.now() - begun < _LEAST_WAIT_SECONDS:
                await self._clock.sleep(_LEAST_WAIT_SECONDS + pauses.next())


def _is_same(one: Wanted, other: Wanted | None) -> bool:
    """Tell whether two answers want the same, whatever stands for them."""
    return other is not None and (one.versions, one.blocked) == (other.versions, other.blocked)
