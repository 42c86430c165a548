"""Requests to build what a file asks for, carried out in the background.

::

    bytes ─→ what they mean ─→ id, its digest
      requests/<id>.json has a build?  ──→ that build, for ever
      failed lately?                   ──→ the same error
      else ONE task: inputs/<id> ─→ lock ─→ image ─→ pin ─→ logs/<key>.txt, requests/<id>.json

The task belongs to the server that took the request; every other one sees in the store how far it
is. A server that ends hands its open requests back. Of one that was killed, the status is not
written any more, and whoever looks at it next takes the request up.
"""

import asyncio
import datetime
import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import structlog

from builder.concurrency.single_flight import SingleFlight
from builder.errors import BuilderError, StoreUnavailable
from builder.fetch.base_image import PUSHED_SCHEME, split_pushed
from builder.image_name import EnvironmentPolicy
from builder.inputs import read_request
from builder.keys import base_part_key
from builder.lock import Lock
from builder.ports import Store, Workers
from builder.rules.model import Rules
from builder.spec import EnvironmentSpec, RulesDigest
from builder.system_errors import machine_errors
from registry.errors import BuildBlocked, TooManyBuilds
from registry.images.failure import Failure
from registry.images.judging import BuildJudge
from registry.images.rate_limit import RateLimit
from registry.requests.progress import RequestProgress
from registry.requests.runner import BuildRunner, Requested
from registry.requests.status import RequestStatus, dump_status, parse_status
from registry.storage.layout import INPUTS, input_key, request_key

#: Raises an error if whoever asks may not pull from a repository.
RequirePull = Callable[[str], Awaitable[None]]

#: After how long without a sign of life nobody carries a request out, in seconds.
_LOST_SECONDS: Final = 30
#: How long a failure can be read, in seconds.
_FORGET_SECONDS: Final = 3600
_NO_RULES: Final = RulesDigest("")


@dataclass(frozen=True, slots=True)
class RequestTimeouts:
    """How long is waited for what."""

    #: How long an error is answered again without another try, in seconds; errors that may pass,
    #: a tenth of it.
    error_ttl_seconds: float
    #: How often a running request is written to the store.
    beat_seconds: float = 5
    #: How often a request that another server runs is looked at.
    look_seconds: float = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, and by which rules it is made."""

    wanted: Requested
    rules: Rules


class BuildRequests:
    """Takes requests, carries them out, and tells how far they are.

    Args:
        store: Where requests are kept.
        workers: Read what is sent.
        making: Makes the builds.
        judge: Knows the rules, and which builds are blocked.
        defaults: What the administrator offers.
        timeouts: How long is waited for what.
        rate_limit: Bounds what a client may have made.
        limit: How many requests this server carries out at once.
        max_bytes: The largest input to read.
        now: The time in seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        workers: Workers,
        making: BuildRunner,
        judge: BuildJudge,
        defaults: EnvironmentPolicy,
        timeouts: RequestTimeouts,
        rate_limit: RateLimit,
        *,
        limit: int,
        max_bytes: int,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._workers = workers
        self._making = making
        self._judge = judge
        self._defaults = defaults
        self._timeouts = timeouts
        self._rate_limit = rate_limit
        self._limit = limit
        self._max_bytes = max_bytes
        self._now = now
        #: Of the requests that this server carries out.
        self._progress: dict[str, RequestProgress] = {}
        self._accepting: SingleFlight[None] = SingleFlight()
        self._running: SingleFlight[None] = SingleFlight()

    async def ask(
        self,
        data: bytes,
        *,
        may_pull: RequirePull,
        renew: bool = False,
        pin: bool = False,
        rules: Rules | None = None,
    ) -> RequestStatus:
        """Return how far the request for what ``data`` asks is, begun now if it is a new one.

        The same content, in whatever order it is written, is the same request, and has the same
        build for ever. Once this returned, the request survives the end of this server.

        Args:
            data: An environment file, a lock, a list of packages, or a JSON request.
            may_pull: Asked before a base is taken from a repository of this registry.
            renew: Begin anew although there is a build.
            pin: Have the build pinned when it is made. One that there is already stays as it is.
            rules: What policies allow whoever asks; other policies make another request of it.
                ``None``: what they allow everybody.

        Raises:
            RegistryError: Whoever asks may not pull the base.
            BuilderError: It cannot be read, or asks for what is not offered or allowed; nothing is
                kept.
            BuildBlocked: Its build is blocked, and it is not made anew.
            TooManyBuilds: Too many requests are under way.
            TooManyNewImages: Whoever asks has asked for too many.
        """
        asked = await self._read(data)
        repository = await self._base_repository(asked)
        if repository is not None:
            await may_pull(repository)
        if rules is None:
            rules = await self._judge.everywhere()
        if isinstance(asked, EnvironmentSpec):
            await self._judge.apply(asked, rules)
        request = request_id(asked, await self._judge.records.identity(rules))
        known = await self.status(request)
        if known is not None and not known.has_ended and not self._is_lost(known):
            return await self._pinned(known) if pin else known
        if known is not None and known.key is not None and not renew:
            await self._judge.blocked.require(known.key)
            return replace(known, state="done", failure=None)
        if known is not None and known.failure is not None and self._is_recent(known):
            return known
        self._rate_limit.spend()
        key = known.key if known is not None else None
        digest = await self._judge.records.keep(rules)
        status = RequestStatus(request, key=key, pin=pin, rules=digest)
        await self._accept(status, data, Asked(asked, rules))
        return await self.status(request) or RequestStatus(request)

    async def check(self, data: bytes, *, may_pull: RequirePull) -> None:
        """Return if ``data`` can be read and whoever sends it may have its base; nothing is kept.

        Raises:
            RegistryError: Whoever asks may not pull the base.
            BuilderError: It cannot be read, or asks for what is not offered.
        """
        repository = await self._base_repository(await self._read(data))
        if repository is not None:
            await may_pull(repository)

    async def read(self, data: bytes) -> Requested:
        """Return what ``data`` asks for; nothing is kept.

        Raises:
            BuilderError: It cannot be read, or asks for what is not offered.
        """
        return await self._read(data)

    async def status(self, request: str) -> RequestStatus | None:
        """Return the status of a request; restart one whose server is gone."""
        if request in self._progress:
            return self._progress[request].status
        data = await self._store.read(request_key(request))
        if data is None:
            return None
        status = parse_status(data)
        if self._is_lost(status):
            await self._take_up(status)
        return status

    async def next(self, seen: RequestStatus, timeout_seconds: float) -> RequestStatus:
        """Return the status once it differs from ``seen``, or in time; safe to cancel."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        while True:
            left = deadline - clock()
            if seen.id in self._progress:
                return await self._progress[seen.id].next(seen, left)
            status = await self.status(seen.id) or seen
            if status != seen or left <= 0:
                return status
            await asyncio.sleep(min(self._timeouts.look_seconds, left))

    async def ended(self, status: RequestStatus, timeout_seconds: float) -> RequestStatus:
        """Return the status of a request once it has ended, or the latest when time is over."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        while not status.has_ended and clock() < deadline:
            status = await self.next(status, deadline - clock())
        return status

    async def look_after(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Take up what nobody carries out, and forget old failures, again and again.

        Args:
            pause: Waits for a number of seconds.
        """
        while True:
            try:
                await self._tidy()
            except Exception as exc:  # noqa: BLE001 (whatever it is, the next look may succeed)
                structlog.get_logger().warning("failed to look for open requests", error=str(exc))
            await pause(_LOST_SECONDS)

    async def close(self) -> None:
        """Cancel running requests and hand them back to other servers."""
        await self._accepting.close()
        await self._running.close()

    async def _tidy(self) -> None:
        keys = [entry.key async for entry in self._store.entries(INPUTS)]
        for request in [key.removeprefix(INPUTS) for key in keys]:
            status = await self.status(request)
            if status is None or (status.has_ended and self._now() >= status.at + _FORGET_SECONDS):
                await self._store.delete(input_key(request))
                if status is not None and status.key is None:
                    await self._store.delete(request_key(request))

    async def _read(self, data: bytes) -> Requested:
        today = datetime.datetime.fromtimestamp(self._now(), datetime.UTC).date()
        read = partial(read_request, max_bytes=self._max_bytes, today=today)
        return await self._workers.run(read, data, self._defaults)

    async def _base_repository(self, asked: Requested) -> str | None:
        """Return the repository of this registry whose image is to be the base.

        ``None`` if there is none, and for what everybody may have: the default, and what images
        were built on here while it was the default. That somebody who may pull an image has built
        on it opens it to nobody else.
        """
        default = self._defaults.base or ""
        if isinstance(asked, Lock):
            reference = asked.base.name if asked.base is not None else ""
        else:
            reference = asked.base or ""
        if not reference.startswith(PUSHED_SCHEME):
            return None
        repository = split_pushed(reference)[0]
        is_open = reference == default
        if isinstance(asked, Lock) and asked.base is not None and default.startswith(PUSHED_SCHEME):
            key = base_part_key(reference, asked.base.digest)
            is_default = repository == split_pushed(default)[0]
            is_open = is_default and await self._store.size(key) is not None
        return None if is_open else repository

    async def _take_up(self, status: RequestStatus) -> None:
        """Carry out a request that another server left, if there is room."""
        data = await self._store.read(input_key(status.id))
        if data is None or len(self._progress) >= self._limit:
            return
        try:
            rules = await self._judge.records.get(status.rules)
            asked = Asked(await self._read(data), rules)
        except StoreUnavailable:
            return
        except BuilderError as exc:  # the settings are others now
            await self._end(replace(status, state="failed", failure=Failure.of(exc)))
            return
        with suppress(TooManyBuilds):
            again = RequestStatus(status.id, key=status.key, pin=status.pin, rules=status.rules)
            await self._accept(again, data, asked)

    async def _pinned(self, status: RequestStatus) -> RequestStatus:
        """Have the build pinned of a request that runs, which somebody began without that."""
        request_progress = self._progress.get(status.id)
        if request_progress is not None:
            request_progress.set(pin=True)
        elif not status.pin:  # the server that runs it will see
            await self._save(replace(status, pin=True))
        return status

    async def _accept(self, status: RequestStatus, data: bytes, asked: Asked) -> None:
        """Write a request down and begin it, unless it runs; a caller that leaves stops nothing."""
        request = status.id
        if request not in self._progress or self._accepting.running(request):
            await self._accepting.run(request, lambda: self._begin(status, data, asked))
        if status.pin and request in self._progress:
            self._progress[request].set(pin=True)

    async def _begin(self, status: RequestStatus, data: bytes, asked: Asked) -> None:
        request = status.id
        if len(self._progress) >= self._limit:
            raise TooManyBuilds(
                f"{len(self._progress)} builds are under way, as many as this server makes at"
                " once; send it again in a moment"
            )
        request_progress = RequestProgress(status, self._now)
        self._progress[request] = request_progress
        try:
            await self._store.write(input_key(request), data)
            await self._save(request_progress.status)
        except BaseException:
            del self._progress[request]
            raise
        self._running.start(request, lambda: self._run(request_progress, asked))

    async def _run(self, request_progress: RequestProgress, asked: Asked) -> None:
        """Carry out a request and write its outcome to the status; raises nothing."""
        ended = asyncio.Event()
        beating = asyncio.create_task(self._beat(request_progress, ended))
        try:
            try:
                changes = await self._outcome(request_progress, asked)
            finally:
                # Not cancelled but waited for: a write under way would come after the last one.
                ended.set()
                await beating
            request_progress.end(await self._end(replace(request_progress.status, **changes)))
        except asyncio.CancelledError:
            await self._save(replace(request_progress.status, at=0))
            raise
        except BuilderError as exc:  # the store; whoever looks next finds a request nobody runs
            structlog.get_logger().warning("failed to end request", error=exc.message)
        finally:
            del self._progress[request_progress.status.id]

    async def _outcome(self, request_progress: RequestProgress, asked: Asked) -> dict[str, Any]:
        """Return what changes in the status at the end."""
        try:
            with machine_errors():
                key = await self._making.make(
                    asked.wanted,
                    request_progress,
                    renew=request_progress.status.key is not None,
                    rules=asked.rules,
                )
        except (BuilderError, BuildBlocked) as exc:
            request_progress.note(f"failed: {exc.message}")
            return {"state": "failed", "failure": Failure.of(exc)}
        except Exception:  # noqa: BLE001 (logged; whoever asks is told that it failed)
            structlog.get_logger().exception("failed to carry out a request")
            sentence = "the server failed to make this build; its log says why"
            return {"state": "failed", "failure": Failure("", sentence, transient=True)}
        return {"state": "done", "progress": "", "percent": 100, "key": key}

    async def _end(self, status: RequestStatus) -> RequestStatus:
        """Write down how a request ended, and return what holds."""
        held = await self._write(status)
        if held.state == "done":
            await self._store.delete(input_key(status.id))
        else:  # what was sent is not kept, but the entry: by it, the failure is forgotten one day
            await self._store.write(input_key(status.id), b"")
        return held

    async def _beat(self, request_progress: RequestProgress, ended: asyncio.Event) -> None:
        """Show the other servers, until the end, that the request is carried out, and how far."""
        while not ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.beat_seconds):
                    await ended.wait()
                return
            with suppress(BuilderError):  # a store that is down will be seen at the end
                held = await self._write(request_progress.status)
                if held.pin and not request_progress.status.pin:
                    request_progress.set(pin=True)

    async def _write(self, status: RequestStatus) -> RequestStatus:
        """Write a status down and return it, unless another server has ended the request: its end.

        Two may carry out the same request, if it reached both at once; the first has the say, so
        that one input has one key.
        """
        data = await self._store.read(request_key(status.id))
        written = parse_status(data) if data is not None else None
        if written is not None and written.state == "done":
            return written
        if written is not None and written.pin:
            status = replace(status, pin=True)
        await self._save(status)
        return status

    async def _save(self, status: RequestStatus) -> None:
        await self._store.write(request_key(status.id), dump_status(status))

    def _is_lost(self, status: RequestStatus) -> bool:
        return not status.has_ended and self._now() >= status.at + _LOST_SECONDS

    def _is_recent(self, status: RequestStatus) -> bool:
        """Tell whether it is too early to try again what failed."""
        is_transient = status.failure is not None and status.failure.transient
        ttl = self._timeouts.error_ttl_seconds / (10 if is_transient else 1)
        return self._now() < status.at + ttl


def request_id(asked: Requested, rules: RulesDigest = _NO_RULES) -> str:
    """Return the 32 hex digits that stand for what is asked for.

    Args:
        asked: It.
        rules: The identity of the rules that it is made by; ``""``: none.
    """
    if isinstance(asked, EnvironmentSpec):
        content: str = asked.digest
    elif isinstance(asked, Lock):
        content = asked.key
    else:
        content = json.dumps(asdict(asked), sort_keys=True, default=str)
    by = f" by {rules}" if rules else ""
    return hashlib.sha256(f"{type(asked).__name__} {content}{by}".encode()).hexdigest()[:32]
