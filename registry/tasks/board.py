"""What Redis knows of each task: who is at it, how far it is, how it ended.

::

    running:<task>     a lock that expires unless whoever is at it renews it
    asked:<task>       a message was sent lately, and nobody has begun
    progress:<task>    how far it is
    ended:<task>       how it ended, for ten minutes
    attempts:<task>    how often it was begun without an end
    waiting            tasks by the time their message was sent: how long the queue is, and how old
    asking:<client>    what a client has under way
    happened:<task>    a channel: look again

Times are Redis's own, so that clocks of servers and workers need not agree.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.lock import Lock as RedisLock
from redis.exceptions import LockNotOwnedError, RedisError

from builder.ports import Progress
from registry.builds.status import Failure

_PREFIX: Final = "pullforge:"
#: How long a worker is believed to be at a task without a sign of life.
LEASE_SECONDS: Final = 15
#: After how long a message that nobody has begun is sent again. The first of several that is begun
#: counts, so nothing waits longer for being sent again.
_ASK_AGAIN_SECONDS: Final = 60
#: How long outcomes can be read.
_KEPT_SECONDS: Final = 600
#: After how long nothing is left of what is never tidied up, e.g. of a server that was killed.
_FORGET_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: it has made something, or failed."""

    #: In Redis's time, seconds since 1970.
    at: float
    #: What it made, as JSON.
    made: str | None = None
    failure: Failure | None = None
    #: What was noted while it was made.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to see of a task at one moment."""

    now: float
    outcome: Outcome | None
    progress: Progress | None
    is_running: bool
    is_asked: bool


class Board:
    """Reads and writes the state of tasks.

    Every method raises :class:`redis.exceptions.RedisError` when Redis does not answer in time, and
    may be called again then.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def look(self, task: str) -> Sight:
        """Return what there is to see of a task, in one round trip."""
        async with self._redis.pipeline(transaction=False) as ask:
            ask.time()
            ask.mget([_key(name, task) for name in ("ended", "progress", "running", "asked")])
            (seconds, micros), (ended, progress, running, asked) = await ask.execute()
        return Sight(
            now=seconds + micros / 1e6,
            outcome=_parse_outcome(ended) if ended else None,
            progress=Progress(**json.loads(progress)) if progress else None,
            is_running=running is not None,
            is_asked=asked is not None,
        )

    async def ask(self, task: str) -> bool:
        """Note that a message is about to be sent; ``False`` if somebody has sent one lately."""
        if not await self._redis.set(_key("asked", task), b"", nx=True, ex=_ASK_AGAIN_SECONDS):
            return False
        # What is sent again waits since it was sent first.
        await self._redis.zadd(f"{_PREFIX}waiting", {task: await self.now()}, nx=True)
        return True

    async def unask(self, task: str) -> None:
        """Forget that a message was sent."""
        async with self._redis.pipeline() as change:
            change.delete(_key("asked", task))
            change.zrem(f"{_PREFIX}waiting", task)
            await change.execute()

    @asynccontextmanager
    async def claim(self, task: str) -> AsyncIterator[bool]:
        """Be the one who is at a task while the context lasts; gives ``False`` if another is."""
        lock = self._redis.lock(_key("running", task), timeout=LEASE_SECONDS, thread_local=False)
        if not await lock.acquire(blocking=False):
            yield False
            return
        renewing = asyncio.create_task(_renew(lock))
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            with suppress(RedisError):
                await lock.release()

    async def begin(self, task: str) -> int:
        """Note that a task is begun; return how often it was, without having ended."""
        await self.unask(task)
        async with self._redis.pipeline() as change:
            change.incr(_key("attempts", task))
            change.expire(_key("attempts", task), _KEPT_SECONDS)
            attempts, _ = await change.execute()
        return int(attempts)

    async def tell(self, task: str, progress: Progress) -> None:
        """Show how far a task is."""
        data = json.dumps(asdict(progress))
        async with self._redis.pipeline(transaction=False) as change:
            change.set(_key("progress", task), data, ex=_KEPT_SECONDS)
            change.publish(_key("happened", task), b"")
            await change.execute()

    async def end(
        self, task: str, made: str | None, failure: Failure | None, notes: tuple[str, ...] = ()
    ) -> None:
        """Show how a task ended."""
        outcome = Outcome(await self.now(), made, failure, notes)
        async with self._redis.pipeline() as change:
            change.set(_key("ended", task), json.dumps(asdict(outcome)), ex=_KEPT_SECONDS)
            change.delete(_key("progress", task), _key("attempts", task))
            change.publish(_key("happened", task), b"")
            await change.execute()

    async def waiting(self) -> tuple[int, float]:
        """Return how many tasks nobody has begun, and for how long the oldest waits, in seconds."""
        now = await self.now()
        async with self._redis.pipeline() as ask:
            ask.zremrangebyscore(f"{_PREFIX}waiting", 0, now - _FORGET_SECONDS)
            ask.zcard(f"{_PREFIX}waiting")
            ask.zrange(f"{_PREFIX}waiting", 0, 0, withscores=True)
            _, count, oldest = await ask.execute()
        return int(count), max(0.0, now - oldest[0][1]) if oldest else 0.0

    @asynccontextmanager
    async def under_way(self, client: str) -> AsyncIterator[int]:
        """Count what a client has under way, on all servers, with what is done in this context."""
        key, mark, now = f"{_PREFIX}asking:{client}", secrets.token_hex(8), await self.now()
        async with self._redis.pipeline() as change:
            change.zremrangebyscore(key, 0, now - _FORGET_SECONDS)
            change.zadd(key, {mark: now})
            change.expire(key, _FORGET_SECONDS)
            change.zcard(key)
            _, _, _, count = await change.execute()
        try:
            yield int(count)
        finally:
            with suppress(RedisError):
                await self._redis.zrem(key, mark)

    async def now(self) -> float:
        """Return the time in seconds since 1970."""
        seconds, micros = await self._redis.time()
        return float(seconds + micros / 1e6)


class Wakes:
    """Wakes who waits for a task whenever something happens to it; one connection for all.

    A wake may be missed, when Redis is away for a moment: who waits looks from time to time too.
    """

    def __init__(self, redis: Redis) -> None:
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
        self._sleepers: dict[str, set[asyncio.Event]] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Wakes"]:
        """Listen while the context lasts."""
        # There must be one subscription for the loop to begin.
        with suppress(RedisError):
            await self._pubsub.subscribe(**{f"{_PREFIX}nothing": self._wake})
        loop = asyncio.create_task(self._pubsub.run(exception_handler=_wait_a_moment))  # type: ignore[arg-type] # says PubSub, means itself
        try:
            yield self
        finally:
            loop.cancel()
            await asyncio.wait([loop])
            await self._pubsub.aclose()  # type: ignore[no-untyped-call] # as redis has it

    @asynccontextmanager
    async def of(self, task: str) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set when something happens to the task."""
        channel, event = _key("happened", task), asyncio.Event()
        sleepers = self._sleepers.setdefault(channel, set())
        sleepers.add(event)
        with suppress(RedisError):
            await self._pubsub.subscribe(**{channel: self._wake})
        try:
            yield event
        finally:
            sleepers.discard(event)
            if not sleepers and self._sleepers.get(channel) is sleepers:
                del self._sleepers[channel]
                with suppress(RedisError):
                    await self._pubsub.unsubscribe(channel)

    def _wake(self, message: dict[str, Any]) -> None:
        for event in self._sleepers.get(message["channel"].decode(), ()):
            event.set()


def _key(kind: str, task: str) -> str:
    return f"{_PREFIX}{kind}:{task}"


def _parse_outcome(data: bytes) -> Outcome:
    content = json.loads(data)
    failure = content["failure"]
    return Outcome(
        content["at"],
        content["made"],
        Failure(**failure) if failure else None,
        tuple(content["notes"]),
    )


async def _renew(lock: RedisLock) -> None:
    """Keep a lock until cancelled. What is done without it does no harm: it may be done twice."""
    while True:
        await asyncio.sleep(LEASE_SECONDS / 3)
        with suppress(RedisError):
            try:
                await lock.reacquire()
            except LockNotOwnedError:  # Redis was away for too long, or has forgotten everything
                await lock.acquire(blocking=False)


async def _wait_a_moment(_error: BaseException, _pubsub: PubSub) -> None:
    """Let Redis come back; the client connects and subscribes again by itself."""
    await asyncio.sleep(0.5)
