"""What a specification comes to, by the rules that hold or by others; nothing is built."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from builder.errors import BuilderError, PolicyRefused
from builder.image_name.canonical import canonical_name
from builder.image_name.scan import MAX_LENGTH, PREFIX
from builder.inputs import PackageList
from builder.lock import Lock, Told
from builder.ports import Progress, ProgressListener
from builder.rules.model import Rules
from builder.spec import EnvironmentSpec
from registry.errors import BuildBlocked, StillSolving
from registry.images.rate_limit import UNBOUNDED, RateLimit
from registry.images.records import SolveRecord
from registry.requests.runner import Requested

#: How long a solve is waited for: it goes on for those who ask again.
_WAIT_SECONDS: Final = 20


class Judge(Protocol):
    """Holds what is to be built against rules; :class:`registry.images.judging.BuildJudge`."""

    async def apply(self, spec: EnvironmentSpec, rules: Rules) -> tuple[EnvironmentSpec, Told]:
        """Return what is solved of a specification, and what is told of it."""
        ...

    async def informed(self, lock: Lock, rules: Rules) -> Lock:
        """Return a lock that was sent with what rules want to know of it."""
        ...

    async def judge(self, lock: Lock, rules: Rules) -> Told:
        """Return what is told of a lock that may be built."""
        ...


class Solves(Protocol):
    """Solves; :class:`registry.images.images.ImageBuilds`."""

    async def attempt(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, *, max_age: float
    ) -> tuple[SolveRecord, Lock]:
        """Return the lock of a specification, and what is told of its solve."""
        ...

    async def tried(self, spec: EnvironmentSpec, max_age: float) -> tuple[SolveRecord, Lock] | None:
        """Return that, if it was solved lately."""
        ...

    def is_solving(self, spec: EnvironmentSpec) -> bool:
        """Tell whether it is being solved."""
        ...

    async def complete(self, packages: PackageList, on_progress: ProgressListener) -> Lock:
        """Return the lock of packages that another tool has chosen."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was asked for, and what it would be today."""

    #: As it was read, before rules had a say.
    asked: Requested
    lock: Lock
    told: Told


@dataclass(frozen=True, slots=True)
class Package:
    """A package that would be installed."""

    manager: str
    name: str
    version: str
    build: str


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """What rules would do to a specification."""

    #: Why it would be refused, or cannot be solved; empty: it can be built.
    refused: str = ""
    #: Whether it is rules that refuse it.
    is_by_policy: bool = False
    told: Told = field(default_factory=Told)
    #: By platform.
    packages: Mapping[str, Sequence[Package]] = field(default_factory=dict)
    #: Of the lock; empty if there is none.
    key: str = ""


class DryRun:
    """Tries rules on specifications; builds nothing.

    Args:
        read: Reads what was sent.
        solves: Solves it.
        judge: Holds it against rules.
        max_age_seconds: How old a solve may be that is used.
        rate_limit: Bounds what a client may have solved.
        read_name: Reads repository and tag of an image; ``None``: nothing has a name.
    """

    def __init__(
        self,
        read: Callable[[bytes], Awaitable[Requested]],
        solves: Solves,
        judge: Judge,
        max_age_seconds: float,
        rate_limit: RateLimit = UNBOUNDED,
        read_name: Callable[[str, str], Awaitable[EnvironmentSpec]] | None = None,
    ) -> None:
        self._read = read
        self._solves = solves
        self._judge = judge
        self._max_age_seconds = max_age_seconds
        self._rate_limit = rate_limit
        self._read_name = read_name

    async def of(self, data: bytes, rules: Rules) -> DryRunResult:
        """Return what rules would do to what ``data`` asks for.

        Args:
            data: An environment file, a lock, a list of packages, or a JSON request.
            rules: All that would hold.

        Raises:
            BuilderError: It cannot be read.
            StillSolving: It takes longer, and can be asked again.
        """
        asked = await self._read(data)
        told = Told()
        try:
            if isinstance(asked, EnvironmentSpec):
                _, told = await self._judge.apply(asked, rules)
            attempt = await self.attempt(asked, rules)
        except (PolicyRefused, BuildBlocked) as exc:
            return DryRunResult(exc.message, is_by_policy=True, told=told)
        except BuilderError as exc:
            if exc.kind in {"busy", "unavailable", "internal"}:
                raise
            return DryRunResult(exc.message, told=told)
        lock = attempt.lock
        return DryRunResult(told=attempt.told, packages=_packages(lock), key=lock.key)

    async def name_of(self, asked: Requested) -> str | None:
        """Return the image that means what is asked for, e.g. ``"env/numpy.pandas:latest"``.

        ``None``: there is none, as no name can say it, or not in so few characters.
        """
        if self._read_name is None or not isinstance(asked, EnvironmentSpec):
            return None
        written = canonical_name(asked)
        repository, _, tag = written.rpartition(":")
        items = repository.removeprefix(PREFIX)
        # As people write it, if that means the same.
        for name in (f"{PREFIX}{items.replace('/', '.')}", repository):
            with suppress(BuilderError):
                if len(name) <= MAX_LENGTH and await self._read_name(name, tag) == asked:
                    return f"{name}:{tag}"
        return None

    async def attempt(self, asked: Requested, rules: Rules) -> Attempt:
        """Return what is wanted as a lock, solved now or lately; nothing is stored.

        Raises:
            BuilderError: It cannot be solved, or rules refuse it.
            BuildBlocked: Its build is blocked.
            TooManyNewImages: Whoever asks has asked for too much.
            StillSolving: It takes longer, and can be asked again.
        """
        try:
            async with asyncio.timeout(_WAIT_SECONDS) as limit:
                return await self._attempt(asked, rules)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise StillSolving from exc

    async def _attempt(self, asked: Requested, rules: Rules) -> Attempt:
        told = Told()
        if isinstance(asked, EnvironmentSpec):
            spec, told = await self._judge.apply(asked, rules)
            max_age = self._max_age_seconds
            known = await self._solves.tried(spec, max_age)
            if known is None and not self._solves.is_solving(spec):
                self._rate_limit.spend()
            solved, lock = await self._solves.attempt(spec, _silent, max_age=max_age)
            told += solved.told
        elif isinstance(asked, Lock):
            lock = await self._judge.informed(asked, rules)
        else:
            self._rate_limit.spend()
            completed = await self._solves.complete(asked, _silent)
            lock = await self._judge.informed(completed, rules)
        return Attempt(asked, lock, told + await self._judge.judge(lock, rules))


def _silent(_progress: Progress, /) -> None:
    """Tell nobody."""


def _packages(lock: Lock) -> Mapping[str, Sequence[Package]]:
    return {
        platform: [
            *(Package("conda", one.name, one.version, one.build) for one in records),
            *(Package("pypi", one.name, one.version, "") for one in lock.wheels.get(platform, ())),
        ]
        for platform, records in lock.platforms.items()
    }
