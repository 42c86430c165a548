"""Which packages channels have, for those who are writing down what they want.

Names come from memory, which the solver keeps as fresh as its indexes. A channel that does not
answer in time goes on being asked, and is named beside what the others have.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from builder.concurrency.single_flight import SingleFlight
from builder.errors import ChannelUnavailable
from builder.platforms import Subdir
from builder.rules.model import Rules
from builder.solve import Release
from builder.spec import Channel

#: Whoever types waits no longer.
_WAIT_SECONDS: Final = 8
#: So many searches are made at once: each looks at all names of its channels.
_AT_ONCE: Final = 2

Result = TypeVar("Result")


class Index(Protocol):
    """Reads channels; :class:`builder.solve.Solver`."""

    async def known_names(
        self, channels: Sequence[Channel], platforms: Sequence[Subdir]
    ) -> Mapping[str, frozenset[str]]:
        """Return, by channel name, the names of all packages for any of the platforms."""
        ...

    async def releases(
        self, channel: Channel, platform: Subdir, name: str, most: int
    ) -> Sequence[Release]:
        """Return the newest versions of a package."""
        ...


@dataclass(frozen=True, slots=True)
class FoundName:
    """A package by its name."""

    name: str
    #: The channels that have it, by priority.
    channels: Sequence[str]


@dataclass(frozen=True, slots=True)
class FoundNames:
    """What was found, the best first."""

    names: Sequence[FoundName]
    #: How many there are in all.
    count: int
    #: Channels that did not answer.
    unavailable: Sequence[str]


@dataclass(frozen=True, slots=True)
class FoundRelease:
    """A version of a package in one channel."""

    channel: str
    release: Release
    platforms: Sequence[Subdir]


@dataclass(frozen=True, slots=True)
class FoundReleases:
    """What was found, by channels in their order, the newest first."""

    releases: Sequence[FoundRelease]
    unavailable: Sequence[str]


class PackageIndex:
    """Looks for packages.

    Args:
        index: Reads channels.
        channels: Those that the administrator offers, by priority.
        defaults: The names of those that are meant if none is named; empty: all.
        platforms: What is built for, the most wanted first.
        offers_pypi: Whether projects of PyPI may be asked for.
    """

    def __init__(
        self,
        index: Index,
        channels: Sequence[Channel],
        defaults: Sequence[str],
        platforms: Sequence[Subdir],
        *,
        offers_pypi: bool,
    ) -> None:
        self._index = index
        self._channels = channels
        self._defaults = frozenset(defaults or [channel.name for channel in channels])
        #: What is built for.
        self.platforms = platforms
        #: Whether projects of PyPI may be asked for.
        self.offers_pypi = offers_pypi
        self._names: SingleFlight[AbstractSet[str]] = SingleFlight()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def channels(self, rules: Rules) -> Sequence[Channel]:
        """Return the channels that may be used by rules, by priority."""
        found = list(self._channels)
        for rule in rules.channels:
            if rule.author.mode == "enforce":
                found = [channel for channel in found if channel.name in rule.allowed]
        return found

    def is_default(self, channel: Channel) -> bool:
        """Tell whether a channel is meant where none is named."""
        return channel.name in self._defaults

    async def search(self, text: str, channels: Sequence[Channel], limit: int) -> FoundNames:
        """Return packages whose names have ``text`` in them: it alone, at their beginning, inside.

        Args:
            text: In any case; empty: all packages.
            channels: Where they are looked for.
            limit: How many at most.
        """
        known, unavailable = await self._of_each(channels, self._names_of)
        async with self._turns:
            return await asyncio.to_thread(_found, text.lower(), known, unavailable, limit)

    async def releases(self, name: str, channels: Sequence[Channel], limit: int) -> FoundReleases:
        """Return the newest versions of a package, at most ``limit`` of each channel."""

        async def of(channel: Channel) -> Sequence[FoundRelease]:
            asked = (
                self._index.releases(channel, platform, name, limit) for platform in self.platforms
            )
            answers = await asyncio.gather(*asked)
            return _joined(channel.name, dict(zip(self.platforms, answers, strict=True)), limit)

        having, missing = await self._of_each(channels, self._names_of)
        those = [channel for channel in channels if name in having.get(channel.name, ())]
        found, unavailable = await self._of_each(those, of)
        return FoundReleases(
            [one for channel in those for one in found.get(channel.name, ())],
            [*missing, *unavailable],
        )

    async def close(self) -> None:
        """Stop waiting for channels."""
        await self._names.close()

    async def _names_of(self, channel: Channel) -> AbstractSet[str]:
        async def ask() -> AbstractSet[str]:
            return (await self._index.known_names([channel], self.platforms))[channel.name]

        return await self._names.run(channel.url, ask)

    async def _of_each(
        self, channels: Sequence[Channel], ask: Callable[[Channel], Awaitable[Result]]
    ) -> tuple[Mapping[str, Result], Sequence[str]]:
        """Return what each channel answers in time, by its name, and which do not."""

        async def answer(channel: Channel) -> Result | None:
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    return await ask(channel)
            except (TimeoutError, ChannelUnavailable):
                return None

        answers = await asyncio.gather(*(answer(channel) for channel in channels))
        pairs = list(zip(channels, answers, strict=True))
        return (
            {channel.name: found for channel, found in pairs if found is not None},
            [channel.name for channel, found in pairs if found is None],
        )


def _found(
    text: str, known: Mapping[str, AbstractSet[str]], unavailable: Sequence[str], limit: int
) -> FoundNames:
    matching = {name for names in known.values() for name in names if text in name}
    best = sorted(matching, key=lambda name: (_rank(name, text), len(name), name))[:limit]
    names = [
        FoundName(name, [channel for channel in known if name in known[channel]]) for name in best
    ]
    return FoundNames(names, len(matching), unavailable)


def _rank(name: str, text: str) -> int:
    if name == text:
        return 0
    return 1 if name.startswith(text) else 2


def _joined(
    channel: str, by_platform: Mapping[Subdir, Sequence[Release]], limit: int
) -> Sequence[FoundRelease]:
    """Return the versions of all platforms in the order of the first that has them."""
    found: dict[str, Release] = {}
    for releases in by_platform.values():
        for one in releases:
            found.setdefault(one.version, one)
    return [
        FoundRelease(
            channel,
            release,
            [
                platform
                for platform, releases in by_platform.items()
                if any(one.version == version for one in releases)
            ],
        )
        for version, release in list(found.items())[:limit]
    ]
