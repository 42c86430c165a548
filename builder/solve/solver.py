"""Solving a spec for each of its platforms."""

import asyncio
import datetime
import operator
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from builder.concurrency.single_flight import together
from builder.errors import (
    BuilderError,
    LockError,
    PolicyRefused,
    UnknownPackage,
    Unsatisfiable,
)
from builder.fetch.channel_credentials import ChannelCredentials
from builder.image_name import suggest
from builder.network.index_limits import IndexLimits
from builder.network.mirrors import NO_MIRRORS, Mirrors
from builder.platforms import Subdir
from builder.records import PackageRecord
from builder.rules.model import NO_RULES, Rules
from builder.rules.violation import Violation
from builder.solve.child import Setup
from builder.solve.explain import explain, missing_package
from builder.solve.failures import UnsolvableTree
from builder.solve.names import ChannelNames
from builder.solve.process import IndexProcesses
from builder.solve.questions import (
    PlatformSolution,
    ask_names,
    ask_packages,
    ask_solution,
    ask_versions,
)
from builder.solve.releases import Release, ask_releases
from builder.solve.repodata import RETRY_SECONDS
from builder.spec import Channel, EnvironmentSpec, Requirement

#: How many versions an error names.
_SHOWN_VERSIONS: Final = 3

#: How many channels' names are kept that were joined of several platforms'.
_RECENT_JOINS: Final = 8

#: In how many ways channels are asked for one thing: for shards, for whole indexes, and what is on
#: disk; and what it takes to start a process besides.
_WAYS: Final = 3
_START_SECONDS: Final = 30

#: The last millisecond of a day; half of the next one is there because rattler rounds down.
_END_OF_DAY: Final = datetime.time(23, 59, 59, 999_500, tzinfo=datetime.UTC)


#: Returns a package with both checksums.
Complete = Callable[[PackageRecord], Awaitable[PackageRecord]]


class Solution(Mapping[Subdir, tuple[PackageRecord, ...]]):
    """The packages of each platform; what a package needs comes before it."""

    def __init__(
        self,
        packages: Mapping[Subdir, tuple[PackageRecord, ...]],
        left_out: Mapping[Subdir, str] | None = None,
        refused: Mapping[Subdir, tuple[Violation, ...]] | None = None,
    ) -> None:
        self._packages = dict(packages)
        #: What rules have left out that is newer than what is there in its place.
        self.refused: Mapping[Subdir, tuple[Violation, ...]] = dict(refused or {})
        #: Platforms of the spec for which nothing fits, with the sentence that says why.
        self.left_out: Mapping[Subdir, str] = dict(left_out or {})

    def __getitem__(self, platform: Subdir) -> tuple[PackageRecord, ...]:
        return self._packages[platform]

    def __iter__(self) -> Iterator[Subdir]:
        return iter(self._packages)

    def __len__(self) -> int:
        return len(self._packages)


class Solver:
    """Finds packages; to be used in one event loop, by many at once.

    Every method may be cancelled at any time. Nothing depends on the host: platforms and virtual
    packages are those of the spec.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        timeout_seconds: float = 60,
        network_timeout_seconds: float = 60,
        repodata_ttl_seconds: float = 300,
        max_retries: int = 3,
        complete: Complete | None = None,
        credentials: ChannelCredentials | None = None,
        clock: Callable[[], float] = time.monotonic,
        limits: IndexLimits | None = None,
        environment: Mapping[str, str] | None = None,
        mirrors: Mirrors = NO_MIRRORS,
    ) -> None:
        """Make the solver; its processes start when they are needed first.

        Args:
            cache_dir: Where repodata is kept; may be emptied at any time.
            timeout_seconds: What solving one platform may take.
            network_timeout_seconds: What fetching repodata may take, in all, for one platform.
            repodata_ttl_seconds: After how long a channel is asked whether it has changed.
            max_retries: How often a request that failed is tried again.
            complete: Gives a package the checksums that its index does not; without it, such a
                package is refused.
            credentials: What private channels ask for; nothing else is ever sent to a channel.
            clock: Tells the seconds that the time-to-live is measured by.
            limits: What reading indexes may take.
            environment: How channels are reached, as variables such as ``HTTPS_PROXY``; ``None``:
                as this process reaches them.
            mirrors: Where channels are fetched from.
        """
        self._mirrors = mirrors
        self._timeout_seconds = timeout_seconds
        self._complete_one = complete or _refuse
        self._network_timeout_seconds = network_timeout_seconds
        setup = Setup(
            cache_dir,
            limits or IndexLimits(),
            network_timeout_seconds,
            repodata_ttl_seconds,
            max_retries,
            credentials or ChannelCredentials(),
        )
        self._processes = IndexProcesses(setup, clock, environment)
        self._names = ChannelNames(
            self._fetch_names,
            ttl_seconds=repodata_ttl_seconds,
            retry_seconds=RETRY_SECONDS,
            clock=clock,
        )
        #: Names of several platforms of a channel, and all of them: sets that are compared by what
        #: they are, as comparing what they hold takes time.
        self._recent_joins: deque[tuple[Sequence[frozenset[str]], frozenset[str]]] = deque(
            maxlen=_RECENT_JOINS
        )

    async def known_names(
        self, channels: Sequence[Channel], platforms: Sequence[Subdir]
    ) -> Mapping[str, frozenset[str]]:
        """Return, by channel name, the names of all packages for any of ``platforms``.

        Names are kept and asked for again after the time-to-live; while a channel is down, the
        last ones are returned.

        Raises:
            ChannelUnavailable: A channel does not answer, and never has.
        """
        pairs = [(channel, platform) for channel in channels for platform in platforms]
        names = await asyncio.gather(*(self._names.of(c, p) for c, p in pairs))
        found = dict(zip(pairs, names, strict=True))
        return {
            channel.name: await self._joined([found[channel, platform] for platform in platforms])
            for channel in channels
        }

    async def releases(
        self, channel: Channel, platform: Subdir, name: str, most: int
    ) -> Sequence[Release]:
        """Return the newest ``most`` versions of a package; none, if there is no such package.

        Raises:
            ChannelUnavailable: The channel does not answer, and what is on disk does not suffice.
        """
        fetched = self._mirrors.channel(channel)
        found: Sequence[Release] = await self._processes.ask(
            [fetched], self._hang_seconds, ask_releases, fetched, platform, name, most
        )
        return found

    async def _joined(self, parts: Sequence[frozenset[str]]) -> frozenset[str]:
        """Return all names in ``parts``, which is known of those that were joined lately."""
        if len(parts) == 1:
            return parts[0]
        for known, joined in self._recent_joins:
            if len(known) == len(parts) and all(map(operator.is_, known, parts)):
                return joined
        joined = await asyncio.to_thread(frozenset().union, *parts)
        self._recent_joins.appendleft((parts, joined))
        return joined

    async def solve(self, spec: EnvironmentSpec, rules: Rules = NO_RULES) -> Solution:
        """Return the packages for each platform of ``spec``.

        What rules do not let be installed is left out, as if it did not exist.

        The first platform must be satisfiable, and every one if the spec says so; another one for
        which nothing fits is left out, and :attr:`Solution.left_out` says so.

        Raises:
            UnknownPackage: No channel has a package of that name for a platform that must be.
            Unsatisfiable: Nothing fits on such a platform.
            PolicyRefused: Nothing does by the rules, and something would without them.
            SolveTimeout: The solver took too long on any platform.
            ChannelUnavailable: A channel does not answer, and what is on disk does not suffice.
            LockError: The index does not give both checksums of a package, and nothing else does.
            PackageError: A package whose checksums are not both given cannot be had.
        """
        answers = await asyncio.gather(
            *(self._solve_or_say(spec, platform, rules) for platform in spec.platforms)
        )
        packages: dict[Subdir, tuple[PackageRecord, ...]] = {}
        refused: dict[Subdir, tuple[Violation, ...]] = {}
        left_out: dict[Subdir, str] = {}
        for platform, answer in zip(spec.platforms, answers, strict=True):
            if isinstance(answer, PlatformSolution):
                packages[platform] = answer.packages
                refused[platform] = answer.left_out
            elif platform == spec.platforms[0] or spec.every_platform:
                raise _for_platform(answer, spec, platform)
            else:
                left_out[platform] = answer.message
        return Solution(packages, left_out, refused)

    async def find(
        self, channel: Channel, platform: Subdir, places: Collection[str]
    ) -> Mapping[str, PackageRecord]:
        """Return the packages that ``channel`` lists now, by where they lie in it.

        Args:
            channel: Where they are looked for.
            platform: Whose subdir is looked into, besides noarch.
            places: Subdir and file name, e.g. ``"linux-64/zlib-1.3-h0_0.conda"``, or for what
                lies elsewhere than in the channel, the address as :func:`by_place` has it. What the
                channel does not list is not in the answer; a ``.tar.bz2`` that it lists beside a
                ``.conda`` is.

        Raises:
            ChannelUnavailable: It does not answer, and never has.
            LockError: The index does not give both checksums of a package, and nothing else does.
            PackageError: A package whose checksums are not both given cannot be had.
        """
        fetched = self._mirrors.channel(channel)
        listed = await self._processes.ask(
            [fetched], self._hang_seconds, ask_packages, fetched, platform, sorted(places)
        )
        records = await self.complete(list(listed.values()))
        return dict(zip(listed, records, strict=True))

    async def complete(self, records: Sequence[PackageRecord]) -> tuple[PackageRecord, ...]:
        """Return the packages with both checksums, in the same order.

        Raises:
            LockError: Nothing gives those that are missing.
            PackageError: The archive of which one is missing cannot be had.
        """
        lacking = [record for record in records if not (record.sha256 and record.md5)]
        found = await together(self._complete_one(record) for record in lacking)
        complete = {record.url: record for record in found}
        return tuple(complete.get(record.url, record) for record in records)

    async def close(self) -> None:
        """End the processes before the loop ends; idempotent, and later calls start new ones."""
        await self._processes.close()

    @property
    def _hang_seconds(self) -> float:
        """After how long a process cannot be expected to answer any more."""
        return _WAYS * (self._network_timeout_seconds + self._timeout_seconds) + _START_SECONDS

    async def _fetch_names(self, channel: Channel, platform: Subdir) -> frozenset[str]:
        fetched = self._mirrors.channel(channel)
        return await self._processes.ask(
            [fetched], self._hang_seconds, ask_names, fetched, platform
        )

    async def _solve_or_say(
        self, spec: EnvironmentSpec, platform: Subdir, rules: Rules
    ) -> PlatformSolution | Unsatisfiable | UnknownPackage | PolicyRefused:
        try:
            return await self._solve_platform(spec, platform, rules)
        except (Unsatisfiable, UnknownPackage, PolicyRefused) as exc:
            return exc

    async def _solve_platform(
        self, spec: EnvironmentSpec, platform: Subdir, rules: Rules
    ) -> PlatformSolution:
        homes = await self._homes(spec, platform)
        fetched = replace(spec, channels=tuple(map(self._mirrors.channel, spec.channels)))
        homes = {wanted: self._mirrors.channel(home) for wanted, home in homes.items()}

        async def ask(sent: bytes | None) -> PlatformSolution | None:
            answer: PlatformSolution | None = await self._processes.ask(
                fetched.channels,
                self._hang_seconds,
                ask_solution,
                fetched,
                platform,
                homes,
                _end_of(spec.until),
                self._timeout_seconds,
                rules.digest,
                sent,
            )
            return answer

        try:
            # The rules themselves are sent if the process does not know them; as JSON, since to
            # pickle thousands of advisories takes a hundred times as long.
            found = await ask(None) or await ask(await asyncio.to_thread(rules.to_json))
        except UnsolvableTree as exc:
            raise Unsatisfiable(await self._explain(str(exc), spec, platform)) from exc
        assert found is not None, "a process that is sent rules knows them"
        return replace(found, packages=await self.complete(found.packages))

    async def _homes(
        self, spec: EnvironmentSpec, platform: Subdir
    ) -> Mapping[Requirement, Channel]:
        """Return the channel that each requirement is to be met from: the first with its name.

        rattler itself goes on to the next channel if the first one has the name but no version
        that fits; a package of the same name in a lesser channel is a different thing, though.
        """
        known = await self.known_names(spec.channels, [platform])
        homes = {}
        for wanted in spec.requirements:
            offered = [c for c in spec.channels if wanted.channel in {"", c.name}]
            home = next((c for c in offered if wanted.name in known[c.name]), None)
            if home is None:
                names = [known[channel.name] for channel in offered]
                raise UnknownPackage(
                    wanted.name,
                    [c.name for c in offered] or [wanted.channel],
                    platform,
                    await asyncio.to_thread(_suggest, wanted.name, names),
                )
            homes[wanted] = home
        return homes

    async def _explain(self, tree: str, spec: EnvironmentSpec, platform: Subdir) -> str:
        name = missing_package(tree)
        offer = ""
        if name and not name.startswith("__"):
            offer = await self._offer(name, spec, platform)
        return explain(tree, spec, offer)

    async def _offer(self, name: str, spec: EnvironmentSpec, platform: Subdir) -> str:
        """Return which versions there are, as words: ``conda-forge has 2.3.1, 2.2.6, …``."""
        known = await self.known_names(spec.channels, [platform])
        home = next((c for c in spec.channels if name in known[c.name]), None)
        if home is None:
            return f"no package of that name is in {', '.join(known)} for {platform}"
        fetched = self._mirrors.channel(home)
        versions = await self._processes.ask(
            [fetched],
            self._hang_seconds,
            ask_versions,
            fetched,
            platform,
            name,
            _end_of(spec.until),
            _SHOWN_VERSIONS + 1,
        )
        until = f" until {spec.until}" if spec.until else ""
        if not versions:
            return f"{home.name} has none{until}"
        shown = ", ".join(versions[:_SHOWN_VERSIONS])
        more = ", …" if len(versions) > _SHOWN_VERSIONS else ""
        return f"{home.name} has {shown}{more}{until}"


def _suggest(name: str, known: Iterable[frozenset[str]]) -> tuple[str, ...]:
    return suggest(name, frozenset().union(*known))


async def _refuse(record: PackageRecord) -> PackageRecord:
    missing = "md5" if record.sha256 else "sha256"
    raise LockError(
        f"the channel gives no {missing} for {record.name} {record.version}, so it cannot be locked"
    )


def _end_of(day: datetime.date | None) -> datetime.datetime | None:
    return datetime.datetime.combine(day, _END_OF_DAY) if day else None


def _for_platform(
    answer: Unsatisfiable | UnknownPackage | PolicyRefused,
    spec: EnvironmentSpec,
    platform: Subdir,
) -> BuilderError:
    """Return the error, saying which platform it concerns where there are several."""
    if len(spec.platforms) == 1 or isinstance(answer, UnknownPackage):
        return answer
    if isinstance(answer, PolicyRefused):
        return PolicyRefused(f"for {platform}, {answer.message}", answer.refusal)
    return Unsatisfiable(f"for {platform}, {answer.message}")
