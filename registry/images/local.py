"""Solves and builds in this process and its own worker processes."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from builder.build.image import Flavour
from builder.build.pipeline import Pipeline
from builder.concurrency.priority import Priority, current_priority
from builder.inputs import PackageList
from builder.lock import Lock
from builder.policy import EnvironmentPolicy
from builder.ports import ProgressListener
from builder.resolve.resolver import Resolver
from builder.spec import EnvironmentSpec
from registry.images.executor import StoredImage, TimedLock
from registry.images.fairness import current_client, level_of
from registry.images.records import ImageRecords
from registry.images.rules import RulesRecords
from registry.images.stages import Stages


class LocalExecutor:
    """Solves and builds here; implements :class:`registry.images.executor.Executor`."""

    def __init__(
        self,
        resolver: Resolver,
        policy: EnvironmentPolicy,
        pipeline: Pipeline,
        records: ImageRecords,
        rules: RulesRecords,
        now: Callable[[], float],
        stages: Stages,
    ) -> None:
        self._resolver = resolver
        self._policy = policy
        self._pipeline = pipeline
        self._records = records
        self._rules = rules
        self._now = now
        self._stages = stages
        #: How much of each client is under way.
        self._under_way: Counter[str] = Counter()

    async def solve(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, *, max_age: float
    ) -> TimedLock:
        """Return what ``spec`` means, solved now: nothing is remembered here."""
        del max_age
        started = self._now()
        rules = await self._rules.get(spec.rules)
        with self._turn(), self._stages.of(on_progress) as told:
            lock = await self._resolver.lock(spec, told, rules)
        seconds = round(self._now() - started, 3)
        structlog.get_logger().info("solved", spec=spec.digest, key=lock.key, seconds=seconds)
        return TimedLock(lock, self._now())

    async def complete(self, packages: PackageList, on_progress: ProgressListener) -> Lock:
        """Return the lock of packages that another tool has chosen."""
        with self._turn(), self._stages.of(on_progress) as told:
            return await self._resolver.complete(packages, self._policy, told)

    async def build(
        self, lock: Lock, flavour: Flavour, on_progress: ProgressListener
    ) -> StoredImage:
        """Return the image of ``lock``, stored with all that belongs to it."""
        started = self._now()
        with self._turn(), self._stages.of(on_progress) as told:
            image = await self._pipeline.build(lock, flavour, told)
            seconds = round(self._now() - started, 3)
            structlog.get_logger().info("built", key=lock.key, flavour=flavour, seconds=seconds)
            return await self._records.keep(lock, flavour, image)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Make what is done here less urgent the more the same client has under way."""
        client = current_client.get()
        if not client:
            yield
            return
        self._under_way[client] += 1
        before = current_priority.set(Priority(level_of(self._under_way[client])))
        try:
            yield
        finally:
            current_priority.reset(before)
            self._under_way[client] -= 1
            self._under_way += Counter()  # forgets who has nothing under way
