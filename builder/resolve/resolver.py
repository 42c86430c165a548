"""From a name to a lock: what is wanted, and exactly which packages that means today."""

import asyncio
import datetime
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from builder.build.interpreters import CompilingPythons
from builder.concurrency.priority import PrioritySemaphore
from builder.errors import UnknownPackage, UnsupportedItem
from builder.fetch.base_image import BaseImages
from builder.image_name import EnvironmentPolicy, scan
from builder.inputs import PackageList
from builder.lock import Lock, Told
from builder.platforms import Subdir
from builder.ports import BuildMetrics, Progress, ProgressListener
from builder.records import PackageRecord, without_credentials
from builder.resolve.indexed import Indexed
from builder.resolve.ruled_solve import RuledSolve
from builder.resolve.wheels import ResolvedWheels, WheelResolver
from builder.rules.judges import Judges
from builder.rules.judging import Judge, judge_lock
from builder.rules.model import NO_RULES, Rules
from builder.solve import Solver
from builder.spec import Channel, EnvironmentSpec

#: Solves at once with the same channels; one that does not answer keeps nobody else waiting.
_PARALLEL_SOLVES: Final = 2
#: Misspelt names that others are looked for at once: it is computation, beside which much else goes
#: on.
_PARALLEL_SUGGESTIONS: Final = 1


class Resolver:
    """Reads names and locks environments."""

    def __init__(
        self,
        solver: Solver,
        bases: BaseImages,
        compilers: CompilingPythons,
        metrics: BuildMetrics,
        wheels: WheelResolver | None = None,
    ) -> None:
        """Make the resolver; without ``wheels`` what asks for projects of PyPI is refused."""
        self._solver = solver
        self._bases = bases
        self._compilers = compilers
        self._metrics = metrics
        self._wheels = wheels
        self._slots: defaultdict[tuple[Channel, ...], PrioritySemaphore] = defaultdict(
            lambda: PrioritySemaphore(_PARALLEL_SOLVES)
        )
        self._judges = Judges()
        self._suggestion_turns = PrioritySemaphore(_PARALLEL_SUGGESTIONS)

    async def spec(
        self, repository: str, tag: str, policy: EnvironmentPolicy, today: datetime.date
    ) -> EnvironmentSpec:
        """Return what a name such as ``env/numpy.pandas`` and a tag mean.

        Args:
            repository: The name, with ``env/``.
            tag: For example ``"latest"``; a date after ``today`` is refused.
            policy: What is offered, and what the name means where it says nothing.
            today: UTC.

        Raises:
            ImageNameError: They cannot be understood; no channel has been asked then.
            UnknownPackage: No channel has such a package.
            ChannelUnavailable: A channel does not answer.
        """
        scanned = scan(repository, tag, policy, today=today)
        known = await self._solver.known_names(scanned.channels, policy.platforms)
        try:
            return scanned.resolve(known, suggests=False)
        except UnknownPackage:
            async with self._suggestion_turns.slot():
                return await asyncio.to_thread(scanned.resolve, known)

    async def lock(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, rules: Rules = NO_RULES
    ) -> Lock:
        """Return the exact packages and base that ``spec`` means now.

        What asks for projects of PyPI gets a Python whether it says so or not.

        Args:
            spec: What is wanted, as :func:`builder.rules.applying.applied` has returned it.
            on_progress: Is told how far it is.
            rules: What policies want: packages that break them are left out, as if there were none.

        Raises:
            UnsupportedItem: It asks for projects of PyPI, which are not offered.
            PolicyRefused: Rules do not allow it, or nothing fits by them.
            SolveError: No packages fit, or a channel or index does not answer.
            PackageError: A package of conda cannot be had whose index does not give both
                checksums, or beside which projects of PyPI are to be installed.
            BaseImageError: The base image cannot be found.
            LockError: A package lacks what a lock must say of it.
        """
        if spec.pip and self._wheels is None:
            raise UnsupportedItem(
                f"'{spec.pip[0]}' is asked from PyPI, which this server does not offer"
            )
        on_progress(Progress("solve"))
        judge = await self._judge(rules)
        ruled = RuledSolve(self._solver, judge)
        async with self._slots[spec.channels].slot():
            started = time.monotonic()
            spec, solved = await ruled.solve(spec)
            self._metrics.solved(time.monotonic() - started)
        chosen = ResolvedWheels(dict.fromkeys(solved, ()), {})
        if spec.pip and self._wheels is not None:
            chosen = await self._wheels.choose(spec, solved, on_progress, judge)
        told = ruled.told(solved, chosen.refused)
        for sentence in (*told.added, *told.left_out):
            on_progress(Progress("solve", note=sentence))
        base = await self._bases.resolve(spec.base) if spec.base else None
        lock = Lock(
            platforms={platform: solved[platform] for platform in chosen.wheels},
            channels=spec.channels,
            virtual_packages=spec.virtual_packages,
            base=base,
            wheels=chosen.wheels,
            variables=dict(spec.variables),
            user=spec.user,
            left_out={**solved.left_out, **chosen.left_out},
            told=told,
            wheel_facts=chosen.facts,
        )
        return await self._compilers.choose(await self._kept(lock, judge))

    async def facts(self, lock: Lock, rules: Rules, channels: Sequence[Channel]) -> Lock:
        """Return a lock that was sent with what rules want to know of it beside it.

        :func:`builder.rules.judging.judge_lock` passes wheels of which nobody has asked for their
        age and licence. What a lock says of its packages, anybody could have written: what their
        channels say counts.

        Args:
            lock: The lock.
            rules: What it is to be held against.
            channels: What the administrator offers.

        Raises:
            UnsupportedItem: It has wheels, and none are offered.
            SolveError: The index, or a channel, does not answer.
            LockError: A channel does not say enough of a package.
            PackageError: A wheel whose licence matters cannot be had.
        """
        if rules.age or rules.licences or rules.advisories or rules.limits:
            lock = replace(lock, indexed=await Indexed(self._solver, channels).of(lock))
        wheels = [wheel for each in lock.wheels.values() for wheel in each]
        judge = await self._judge(rules)
        is_asked = judge is not None and bool(rules.age or rules.licences)
        if judge is None or not is_asked or all(w.sha256 in lock.wheel_facts for w in wheels):
            return lock
        if self._wheels is None:
            raise UnsupportedItem("the lock has wheels of PyPI, which this server does not offer")
        return replace(lock, wheel_facts=await self._wheels.facts(lock, judge))

    async def _judge(self, rules: Rules) -> Judge | None:
        return await asyncio.to_thread(self._judges.of, rules) if rules else None

    async def _kept(self, lock: Lock, judge: Judge | None) -> Lock:
        """Return a lock with what rules warn of.

        Raises:
            PolicyRefused: It breaks a rule, of which a solve knows nothing: such as its size.
        """
        if judge is None:
            return lock
        found = await asyncio.to_thread(judge_lock, lock, judge)
        for violation in found:
            if violation.mode == "enforce":
                raise violation.error()
        return replace(lock, told=lock.told + Told(warnings=tuple(v.sentence for v in found)))

    async def complete(
        self, packages: PackageList, policy: EnvironmentPolicy, on_progress: ProgressListener
    ) -> Lock:
        """Return the lock of packages that another tool has chosen.

        What their channels list of them counts, so that equal packages give equal locks in
        whatever format they were sent; nothing is solved.

        Raises:
            InputError: A channel has another package than the file says, or has it no more and
                the file does not say enough.
            ChannelUnavailable: A channel does not answer.
            BaseImageError: The base image cannot be found.
            LockError: A package lacks what a lock must say of it.
            PackageError: One whose checksums are not both given cannot be had.
        """
        on_progress(Progress("solve"))
        completed = {
            platform: await self._complete(packages, policy, platform)
            for platform in packages.platforms
        }
        if packages.exact is not None:
            return packages.exact
        base = await self._bases.resolve(packages.base) if packages.base else None
        lock = Lock(
            platforms=completed,
            channels=_channels(packages, policy, completed),
            virtual_packages=packages.virtual_packages,
            base=base,
            wheels=packages.wheels,
            user=policy.user,
        )
        return await self._compilers.choose(lock)

    async def settle(
        self,
        wanted: EnvironmentSpec | Lock | PackageList,
        policy: EnvironmentPolicy,
        on_progress: ProgressListener,
    ) -> Lock:
        """Return the lock of whatever :func:`builder.inputs.read_request` has read.

        Raises:
            BuilderError: As :meth:`lock` and :meth:`complete`.
        """
        match wanted:
            case Lock():
                return wanted
            case PackageList():
                return await self.complete(wanted, policy, on_progress)
            case EnvironmentSpec():
                return await self.lock(wanted, on_progress)

    async def _complete(
        self, packages: PackageList, policy: EnvironmentPolicy, platform: Subdir
    ) -> tuple[PackageRecord, ...]:
        known: dict[tuple[str, str], PackageRecord] = {}
        for channel in policy.channels:
            places = packages.places(platform, channel)
            if places:
                found = await self._solver.find(channel, platform, places)
                known.update({(channel.url, place): found[place] for place in found})
                # The first channel that lists it counts where the file does not say which.
                known = {**{("", place): found[place] for place in found}, **known}
        return await self._solver.complete(
            [
                listed.complete(known.get((_address(listed.place.channel), listed.place.listed)))
                for listed in packages.platforms[platform]
            ]
        )


def _address(channel: Channel | None) -> str:
    return channel.url if channel else ""


def _channels(
    packages: PackageList,
    policy: EnvironmentPolicy,
    completed: Mapping[Subdir, Sequence[PackageRecord]],
) -> tuple[Channel, ...]:
    """Return the channels that the packages come from, in the administrator's order."""
    said = {record.channel for records in completed.values() for record in records}
    return tuple(
        channel
        for channel in policy.channels
        if channel in packages.channels or without_credentials(channel.url) in said
    )
