"""Sending what happens to whom it is to be sent: many webhooks at once, each in its order.

::

    look ─→ due ─→ up to 16 at once, those that had nothing for longest first
                     └─→ its turn: what somebody wants once more, then event after event,
                         until there is none, one fails, or ten seconds are over

Those that fail or are slow have at most half of the places: whoever does not answer keeps nobody
waiting but themselves.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog

from registry.catalog.outgoing import (
    LEASE_SECONDS,
    Attempt,
    Due,
    Outgoing,
    OutgoingWebhooks,
    Wanted,
)
from registry.catalog.records import Event
from registry.catalog.webhook_records import WebhookKind
from registry.errors import DatabaseUnavailable
from registry.webhooks.mail import NO_MAIL
from registry.webhooks.sender import Sender

#: After how long what failed is tried again, in seconds; the last again and again.
DELAYS: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800)
#: So often a receiver that says when to ask again alone decides.
_TRUSTED_ATTEMPTS: Final = 10
_AT_ONCE: Final = 16
_SLOW_AT_ONCE: Final = 8
#: Who took longer the last time has a place of those that are slow.
_SLOW_SECONDS: Final = 2.0
_TURN_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.05
#: The longest that sending one event takes; within the lease there is time for it.
_SENDING_SECONDS: Final = 20.0
_RELEASE_SECONDS: Final = 2.0


class Dispatcher:
    """Sends events until it is cancelled.

    Args:
        outgoing: Knows what is to be sent, and keeps what came of it.
        senders: Send, by kind.
        changed: Returns when something may have happened, or after a number of seconds.
        on_health: Is told how many webhooks fail, and for how many seconds an event waits.
        delays: After how long what failed is tried again, in seconds.
    """

    def __init__(
        self,
        outgoing: OutgoingWebhooks,
        senders: Mapping[WebhookKind, Sender],
        changed: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        on_health: Callable[[int, float], None] = lambda _failing, _seconds: None,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self._outgoing = outgoing
        self._senders = senders
        self._changed = changed
        self._on_health = on_health
        self._delays = delays
        self._running: dict[int, asyncio.Task[None]] = {}
        #: Those of them that have a place of the slow.
        self._slow_places: set[int] = set()
        #: Who was slow or failed, and when each had its last turn.
        self._slow: set[int] = set()
        self._served: dict[int, float] = {}
        #: Since when events wait that are being sent.
        self._sending: dict[int, datetime] = {}

    async def run(self) -> None:
        """Send until cancelled; what was being sent then is sent again by whoever is next."""
        try:
            while True:
                self._outgoing.nudged.clear()
                try:
                    await self.look()
                except DatabaseUnavailable:
                    pass  # The log tells of it; what is to be sent is still there.
                except Exception:  # noqa: BLE001 (logged; the next look is another try)
                    structlog.get_logger().exception("failed to look for webhooks")
                await asyncio.sleep(_PAUSE_SECONDS)
                await self._wait()
        finally:
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Begin to send what is due, as much as there are places for.

        Raises:
            DatabaseUnavailable: It does not answer.
        """
        due = await self._outgoing.look(self._running.keys())
        for one in sorted(due, key=lambda one: (self._served.get(one.id, 0.0), one.id)):
            if len(self._running) >= _AT_ONCE:
                return
            is_slow = one.attempts > 0 or one.id in self._slow
            if is_slow and len(self._slow_places) >= _SLOW_AT_ONCE:
                continue
            self._begin(one, is_slow=is_slow)

    async def idle(self) -> None:
        """Return when nothing is being sent."""
        while self._running:
            await asyncio.wait(self._running.values())

    async def tell_health(self) -> None:
        """Tell how many webhooks fail, and for how long an event waits.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        health = await self._outgoing.health()
        since = [moment for moment in (health.since, *self._sending.values()) if moment is not None]
        seconds = (datetime.now(UTC) - min(since)).total_seconds() if since else 0.0
        self._on_health(health.failing, max(seconds, 0.0))

    async def _wait(self) -> None:
        """Wait until something may have happened, a place is free, or somebody nudges."""
        waiting = [
            asyncio.ensure_future(self._changed(_LOOK_SECONDS)),
            asyncio.ensure_future(self._outgoing.nudged.wait()),
        ]
        try:
            await asyncio.wait(waiting, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _begin(self, due: Due, *, is_slow: bool) -> None:
        self._served[due.id] = asyncio.get_running_loop().time()
        task = asyncio.create_task(self._serve(due))
        self._running[due.id] = task
        if is_slow:
            self._slow_places.add(due.id)

        def end(_: asyncio.Task[None]) -> None:
            del self._running[due.id]
            self._slow_places.discard(due.id)
            self._sending.pop(due.id, None)
            self._outgoing.nudged.set()

        task.add_done_callback(end)

    async def _serve(self, due: Due) -> None:
        """Give a webhook its turn."""
        held: Outgoing | None = None
        try:
            held = await self._outgoing.claim(due)
            clock = asyncio.get_running_loop().time
            began = claimed = clock()
            while held is not None and clock() < began + _TURN_SECONDS:
                following = await self._next(held)
                # With less time another server might send the same before this one has.
                if following is None or clock() > claimed + LEASE_SECONDS - _SENDING_SECONDS:
                    break
                held = await self._send(held, following)
                claimed = clock()
        except DatabaseUnavailable:
            held = None  # Its lease ends by itself.
        except Exception:  # noqa: BLE001 (logged; it is tried again when its lease has ended)
            structlog.get_logger().exception("failed to send an event", webhook=due.id)
            held = None
        finally:
            if held is not None:
                with suppress(DatabaseUnavailable, TimeoutError):
                    async with asyncio.timeout(_RELEASE_SECONDS):
                        await self._outgoing.release(held)

    async def _next(self, held: Outgoing) -> Wanted | Event | None:
        return await self._outgoing.wanted(held) or await self._outgoing.following(held)

    async def _send(self, held: Outgoing, what: Wanted | Event) -> Outgoing | None:
        """Send something, and return the webhook for what is next; ``None``: its turn is over."""
        event = what.event if isinstance(what, Wanted) else what
        if event is None:
            attempt = Attempt("failed", message="its event is purged: there is nothing to send")
        else:
            self._sending[held.id] = event.at
            attempt = await self._attempt(held, event)
        is_slow = attempt.result == "failed" or attempt.duration_ms > _SLOW_SECONDS * 1000
        (self._slow.add if is_slow else self._slow.discard)(held.id)
        if isinstance(what, Wanted):
            return await self._kept(lambda: self._outgoing.note_wanted(held, what, attempt))
        delay = delay_of(self._delays, held.attempts, attempt.retry_seconds, held.id)
        return await self._kept(lambda: self._outgoing.note(held, what, attempt, delay))

    async def _attempt(self, held: Outgoing, event: Event) -> Attempt:
        sender = self._senders.get(held.kind)
        if sender is None:  # there was one when it was made
            return Attempt("failed", message=NO_MAIL)
        try:
            return await sender.send(held, event)
        except Exception as exc:  # noqa: BLE001 (logged; whoever manages it sees that it fails)
            structlog.get_logger().exception("failed to send an event", webhook=held.id)
            return Attempt("failed", message=f"nothing could be sent: {type(exc).__name__}")

    async def _kept(self, note: Callable[[], Awaitable[Outgoing | None]]) -> Outgoing | None:
        """Keep what came of sending, while the lease lasts: else it would be sent once more.

        Raises:
            DatabaseUnavailable: It did not answer for so long.
        """
        clock = asyncio.get_running_loop().time
        until, pause = clock() + LEASE_SECONDS - _SENDING_SECONDS, 0.1
        while True:
            try:
                return await note()
            except DatabaseUnavailable:
                if clock() >= until:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)


def delay_of(
    delays: Sequence[float], attempts: int, asked_seconds: float | None, seed: int
) -> float:
    """Return after how many seconds an event is tried again that failed.

    What whoever answers asks for is what they get, but not for ever. Those who fail at the same
    time are not all tried again at the same time.

    Args:
        delays: After the first failure, the second, and so on.
        attempts: How often it had failed before.
        asked_seconds: When whoever answered wants to be asked again; ``None``: they did not say.
        seed: The number of the webhook.
    """
    delay = delays[min(attempts, len(delays) - 1)]
    if asked_seconds is not None:
        delay = asked_seconds if attempts < _TRUSTED_ATTEMPTS else max(delay, asked_seconds)
    share = zlib.crc32(f"{seed}.{attempts}".encode()) % 1000 / 1000
    return delay * (1 + share / 5)
