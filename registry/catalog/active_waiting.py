"""Waiting until somebody may be told other versions than they know.

Nobody asks the database, and no session of it is held. Who has the same rights and wishes the same
is one question, however many machines ask it::

    a change is seen ─→ each question once ─→ all who wait for it, if the answer is another one
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from registry.catalog.active_versions import ActiveVersions, Wish
from registry.errors import ParameterInvalid, TooManyWaiting

#: How many requests of somebody may wait at once, on one server: many machines ask with one token.
MAX_WAITING: Final = 5000
#: Of whoever has not logged in, those of one address.
MAX_STRANGERS_WAITING: Final = 50
#: After how long is looked for what nothing told of: a token or a role has ended.
_LOOK_SECONDS: Final = 5
#: No question is asked more often: what changes meanwhile is told together.
_PAUSE_SECONDS: Final = 0.1


@dataclass(eq=False, slots=True)
class _Watch:
    """A question that somebody waits for."""

    #: Of the latest answer; empty: there is none yet.
    etag: str = ""
    waiting: int = 0
    has_ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake all who wait."""
        self.changed.set()
        self.changed = asyncio.Event()


class ActiveWaiting:
    """Wakes whoever may be told something else; it is of one event loop.

    Args:
        versions: Give the answers.
        changed: Returns when anything may have changed since it was called, or after seconds.
    """

    def __init__(
        self, versions: ActiveVersions, changed: Callable[[float], Awaitable[None]]
    ) -> None:
        self._versions = versions
        self._changed = changed
        self._waiting: Counter[str] = Counter()
        self._watches: dict[Hashable, _Watch] = {}
        self._asking: dict[_Watch, asyncio.Task[None]] = {}

    @contextmanager
    def room(self, who: str, most: int) -> Iterator[None]:
        """Count somebody who waits, as long as it lasts.

        Raises:
            TooManyWaiting: ``most`` of theirs wait already.
        """
        if self._waiting[who] >= most:
            raise TooManyWaiting(most)
        self._waiting[who] += 1
        try:
            yield
        finally:
            self._waiting[who] -= 1
            if not self._waiting[who]:
                del self._waiting[who]

    async def wait(
        self,
        question: Hashable,
        wish: Callable[[], Wish | None],
        is_known: Callable[[str], bool],
        seconds: float,
    ) -> None:
        """Return as soon as somebody may be told what they do not know, or in time.

        Args:
            question: Equal for all who are told the same at every moment.
            wish: Returns what they wish at this moment; ``None``: they are nobody any more.
            is_known: Tells whether they know the listing of an etag.
            seconds: How long at most.
        """
        watch = self._watches.get(question)
        if watch is None or watch.has_ended:
            watch = self._watches[question] = _Watch()
            asking = asyncio.create_task(self._ask(watch, wish), name="active versions")
            self._asking[watch] = asking
        watch.waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not watch.has_ended and (not watch.etag or is_known(watch.etag)):
                        await watch.changed.wait()
        finally:
            watch.waiting -= 1
            if not watch.waiting:
                if self._watches.get(question) is watch:
                    del self._watches[question]
                self._asking.pop(watch).cancel()

    async def _ask(self, watch: _Watch, wish: Callable[[], Wish | None]) -> None:
        """Ask again after each change, until nobody waits, or nothing can be answered any more."""
        try:
            while True:
                # Waited for from before the answer: what happens during it is not missed.
                changed = asyncio.ensure_future(self._changed(_LOOK_SECONDS))
                try:
                    wished = wish()
                    if wished is None:
                        return
                    listing = await self._versions.list(wished)
                    if listing.etag != watch.etag:
                        watch.etag = listing.etag
                        watch.tell()
                    await asyncio.sleep(_PAUSE_SECONDS)
                    await changed
                finally:
                    changed.cancel()
        except ParameterInvalid:  # whoever asks is told
            return
        except Exception:  # noqa: BLE001 (logged; the next request may be answered)
            structlog.get_logger().exception("failed to list active versions")
        finally:
            watch.has_ended = True
            watch.tell()
