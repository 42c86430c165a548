"""The state of each task in Redis: its lock, its progress and its outcome.

::

    running:<task>     a lock that expires unless the worker renews it
    asked:<task>       a message was sent lately, how urgent, and nobody has begun
    progress:<task>    how far it is, after its milestones
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
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import structlog
from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.lock import Lock as RedisLock
from redis.exceptions import LockNotOwnedError, RedisError

from builder.ports import Progress
from registry.images.failure import Failure
from registry.jobs.cancellation import cancel_and_wait

Known = TypeVar("Known")

_PREFIX: Final = "pullforge:"
#: More than any outcome has; what is larger is not read.
_MAX_BYTES: Final = 64 * 1024 * 1024
#: How long a worker is believed to be at a task without a sign of life.
LEASE_SECONDS: Final = 15
#: After how long a message that nobody has begun is sent again. The first of several that is begun
#: counts, so nothing waits longer for being sent again.
_ASK_AGAIN_SECONDS: Final = 60
#: How long outcomes can be read.
_KEPT_SECONDS: Final = 600
#: After how long nothing is left of what is never tidied up, e.g. of a server that was killed.
_FORGET_SECONDS: Final = 3600
#: How long who listens waits for a Redis that is away.
_AWAY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: it has made something, or failed."""

    #: In Redis's time, seconds since 1970.
    at: float
    #: What it made, as JSON.
    made: str | None = None
    failure: Failure | None = None
    #: As of :class:`TaskSnapshot`, when it ended.
    progress: tuple[Progress, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """The state of a task at one moment."""

    now: float
    outcome: Outcome | None
    #: The milestones so far, so that no log lacks one however short it was, and how far it is.
    progress: tuple[Progress, ...]
    is_running: bool
    #: How urgent the message is that nobody has begun; ``None``: there is none.
    asked: int | None


class TaskState:
    """Reads and writes the state of tasks.

    Every method raises :class:`redis.exceptions.RedisError` when Redis does not answer in time, and
    may be called again then.

    Args:
        redis: Where everything is.
        lease_seconds: How long a worker is believed to be at a task without a sign of life.
        ask_again_seconds: After how long a message that nobody has begun is sent again.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        lease_seconds: float = LEASE_SECONDS,
        ask_again_seconds: float = _ASK_AGAIN_SECONDS,
    ) -> None:
        self._redis = redis
        self._lease_seconds = lease_seconds
        self._asked_milliseconds = round(ask_again_seconds * 1000)

    async def snapshot(self, task: str) -> TaskSnapshot:
        """Return the state of a task, in one round trip."""
        async with self._redis.pipeline(transaction=False) as ask:
            ask.time()
            ask.mget([_key(name, task) for name in ("ended", "progress", "running", "asked")])
            (seconds, micros), (ended, progress, running, asked) = await ask.execute()
        return TaskSnapshot(
            now=seconds + micros / 1e6,
            outcome=_parse(_OUTCOME, ended),
            progress=_parse(_PROGRESS, progress) or (),
            is_running=running is not None,
            asked=_parse(_LEVEL, asked),
        )

    async def mark_queued(self, task: str, level: int = 0) -> bool:
        """Note that a message is about to be sent; ``False`` if one as urgent was sent lately."""
        key, lasts = _key("asked", task), self._asked_milliseconds
        if not await self._redis.set(key, level, nx=True, px=lasts):
            asked = _parse(_LEVEL, await self._redis.get(key))
            if asked is not None and asked <= level:
                return False
            await self._redis.set(key, level, px=lasts)
        # What is sent again waits since it was sent first.
        await self._redis.zadd(f"{_PREFIX}waiting", {task: await self.now()}, nx=True)
        return True

    async def unmark(self, task: str) -> None:
        """Delete the note that a message was sent."""
        async with self._redis.pipeline() as change:
            change.delete(_key("asked", task))
            change.zrem(f"{_PREFIX}waiting", task)
            await change.execute()

    @asynccontextmanager
    async def claim(self, task: str) -> AsyncIterator[bool]:
        """Hold the task's lock inside the context; gives ``False`` if another holds it."""
        lasts = self._lease_seconds
        lock = self._redis.lock(_key("running", task), timeout=lasts, thread_local=False)
        if not await lock.acquire(blocking=False):
            yield False
            return
        renewing = asyncio.create_task(_renew(lock, lasts / 3))
        try:
            yield True
        finally:
            # Also when this task is cancelled: nobody could begin for the lease's time.
            releasing = asyncio.create_task(_release(lock, renewing))
            try:
                await asyncio.shield(releasing)
            finally:
                await releasing

    async def begin(self, task: str) -> int:
        """Note that a task is begun; return how often it was, without having ended."""
        await self.unmark(task)
        async with self._redis.pipeline() as change:
            change.incr(_key("attempts", task))
            change.expire(_key("attempts", task), _KEPT_SECONDS)
            attempts, _ = await change.execute()
        return int(attempts)

    async def report(self, task: str, progress: Sequence[Progress]) -> None:
        """Write the progress of a task, as of :class:`TaskSnapshot`, and notify its waiters."""
        data = _PROGRESS.dump_json(tuple(progress))
        async with self._redis.pipeline(transaction=False) as change:
            change.set(_key("progress", task), data, ex=_KEPT_SECONDS)
            change.publish(_key("happened", task), b"")
            await change.execute()

    async def end(
        self,
        task: str,
        made: str | None,
        failure: Failure | None,
        progress: Sequence[Progress] = (),
    ) -> None:
        """Show how a task ended; messages about it that are still on their way are void."""
        outcome = Outcome(await self.now(), made, failure, tuple(progress))
        async with self._redis.pipeline() as change:
            change.set(_key("ended", task), json.dumps(asdict(outcome)), ex=_KEPT_SECONDS)
            change.delete(*(_key(name, task) for name in ("progress", "attempts", "asked")))
            change.zrem(f"{_PREFIX}waiting", task)
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


class TaskEvents:
    """Sets events when tasks change, over one connection; without Redis some are missed."""

    def __init__(self, redis: Redis) -> None:
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
        self._sleepers: dict[str, set[asyncio.Event]] = {}
        self._changed = asyncio.Event()
        self._subscribed = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["TaskEvents"]:
        """Listen while the context lasts."""
        loops = [asyncio.create_task(self._hear()), asyncio.create_task(self._follow())]
        try:
            yield self
        finally:
            await cancel_and_wait(*loops)
            await self._pubsub.aclose()  # type: ignore[no-untyped-call] # as redis has it

    @asynccontextmanager
    async def of(self, task: str) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set when the task changes, or after Redis could not be heard."""
        channel, event = _key("happened", task), asyncio.Event()
        sleepers = self._sleepers.setdefault(channel, set())
        sleepers.add(event)
        self._changed.set()
        try:
            yield event
        finally:
            sleepers.discard(event)
            if not sleepers:
                del self._sleepers[channel]
                self._changed.set()

    async def _hear(self) -> None:
        await self._subscribed.wait()  # there is a connection then, which the two share
        while True:
            with suppress(RedisError):
                await self._pubsub.run(exception_handler=_wait_a_moment)  # type: ignore[arg-type] # says PubSub, means itself
            await asyncio.sleep(_AWAY_SECONDS)

    async def _follow(self) -> None:
        """Subscribe to what is waited for. Alone: of two at once, the last might not be heard."""
        heard: set[str] = set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = set(self._sleepers)
            try:
                if new := wanted - heard:
                    await self._pubsub.subscribe(**dict.fromkeys(new, self._wake))
                if old := heard - wanted:
                    await self._pubsub.unsubscribe(*old)
            except RedisError:
                self._changed.set()
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            self._subscribed.set()
            heard = wanted
            for channel in new:
                self._wake_all(channel)

    def _wake(self, message: dict[str, Any]) -> None:
        self._wake_all(message["channel"].decode())

    def _wake_all(self, channel: str) -> None:
        for event in self._sleepers.get(channel, ()):
            event.set()


_OUTCOME: Final = TypeAdapter(Outcome)
_PROGRESS: Final = TypeAdapter(tuple[Progress, ...])
_LEVEL: Final = TypeAdapter(int)


def _key(kind: str, task: str) -> str:
    return f"{_PREFIX}{kind}:{task}"


def _parse(adapter: TypeAdapter[Known], data: bytes | str | None) -> Known | None:
    """Return what is written, or ``None`` for nothing and for what nobody here has written."""
    if data is None:
        return None
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError(f"{len(data)} bytes")  # noqa: TRY301 (it is one of many ways)
        return adapter.validate_json(data)
    except ValueError as exc:
        structlog.get_logger().error("cannot read what redis has", error=str(exc)[:300])
        return None


async def _renew(lock: RedisLock, every_seconds: float) -> None:
    """Keep a lock until cancelled. What is done without it does no harm: it may be done twice."""
    while True:
        await asyncio.sleep(every_seconds)
        with suppress(RedisError):
            try:
                await lock.reacquire()
            except LockNotOwnedError:  # Redis was away for too long, or has forgotten everything
                await lock.acquire(blocking=False)


async def _release(lock: RedisLock, renewing: asyncio.Task[None]) -> None:
    await cancel_and_wait(renewing)
    with suppress(RedisError):
        await lock.release()


async def _wait_a_moment(_error: BaseException, _pubsub: PubSub) -> None:
    """Pause before the client reconnects and subscribes again."""
    await asyncio.sleep(_AWAY_SECONDS)
