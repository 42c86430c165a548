"""What channels offer: kept in memory and on disk, renewed, and used when a channel is down."""

import asyncio
import datetime
import json
import os
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import certifi
import rattler
from rattler.config import Config
from rattler.networking.client import Client
from rattler.networking.fetch_repo_data import (
    CacheAction,
    FetchRepoDataOptions,
    fetch_repo_data,
)
from rattler.networking.middleware import RetryMiddleware
from rattler.repo_data.gateway import SourceConfig
from rattler.repo_data.sparse import PackageFormatSelection, SparseRepoData

from builder.errors import ChannelUnavailable
from builder.fetch.channel_credentials import ChannelCredentials
from builder.platforms import NOARCH, Subdir
from builder.rules.judges import Judges
from builder.solve.failures import channel_unavailable, mapped_failures
from builder.solve.filtering import Filter
from builder.spec import Channel

Answer = TypeVar("Answer")

#: A channel that is down is not asked again before that many seconds.
RETRY_SECONDS: Final = 30.0
#: A server that does not give a shard or the list of them; 304 is how Python's ``http.server``
#: answers for a list that has not changed, without the validators that rattler wants to see.
_NO_SHARDS: Final = re.compile(r"\((?:304|401|403|404|410) [^)]*\)[^\n]*\.msgpack\.zst\b")


class Repodata:
    """Answers questions about channels, in one event loop; many may ask at once.

    It reads whatever a channel sends, to its end: it belongs into a process that has limits.

    rattler's gateway never forgets what it has in memory, so a channel is taken out of it when it
    is older than the time-to-live: a package published since is then seen. On disk, rattler keeps
    what it fetched; that is used when the channel cannot be reached.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        network_timeout_seconds: float,
        ttl_seconds: float,
        max_retries: int,
        credentials: ChannelCredentials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache_dir = cache_dir
        self._timeout_seconds = network_timeout_seconds
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._credentials = credentials
        client = _client(max_retries, max(1, round(network_timeout_seconds)), credentials.file)
        self._client = client
        self._gateway = rattler.Gateway(cache_dir=cache_dir, client=client)
        whole = SourceConfig(sharded_enabled=False)
        self._whole = rattler.Gateway(cache_dir=cache_dir, client=client, default_config=whole)
        #: What rules leave out of what each gateway has in memory.
        self._filters = {id(gateway): Filter() for gateway in (self._gateway, self._whole)}
        #: By the rules that were used last.
        self.judges = Judges()
        #: Until when channels, by their addresses, are read whole: they refuse shards.
        self._whole_until: dict[tuple[str, ...], float] = {}
        #: When each channel, by address, is to be taken out of the gateway's memory.
        self._stale_at: dict[str, float] = {}
        #: Until when channels, by their addresses, are not asked if what is on disk suffices.
        self._down_until: dict[tuple[str, ...], float] = {}

    async def names(self, channel: Channel, platform: Subdir) -> frozenset[str]:
        """Return the names of all packages that ``channel`` has for ``platform``, with noarch.

        Raises:
            ChannelUnavailable: It does not answer, and what is on disk does not suffice.
        """

        async def question(gateway: rattler.Gateway) -> frozenset[str]:
            found = await gateway.names(
                [rattler.Channel(channel.url)],
                [platform, NOARCH],
                channel_relations="disabled",
            )
            return await asyncio.to_thread(_normalized, found)

        return await self.ask([channel], question)

    async def ask(
        self,
        channels: Sequence[Channel],
        question: Callable[[rattler.Gateway], Coroutine[None, None, Answer]],
        *,
        extra_seconds: float = 0,
    ) -> Answer:
        """Return what ``question`` answers with a gateway that is not older than allowed.

        If a channel is down, the gateway has what is on disk.

        Args:
            channels: The channels that it concerns.
            question: May be called twice.
            extra_seconds: What it may take besides waiting for the network.

        Raises:
            SolveError: As :data:`builder.solve.failures.FAILURES` says.
        """
        limit = self._timeout_seconds + extra_seconds
        urls = tuple(channel.url for channel in channels)
        if self._clock() < self._down_until.get(urls, 0):
            # It may hang rather than refuse: not everyone has to find out.
            with suppress(ChannelUnavailable):
                return await self._bounded(question(self._offline(urls)), channels, limit)
        self._renew(channels)
        try:
            return await self._ask_online(channels, question, limit)
        except ChannelUnavailable as unavailable:
            self._down_until[urls] = self._clock() + RETRY_SECONDS
            try:
                return await self._bounded(question(self._offline(urls)), channels, limit)
            except ChannelUnavailable:
                raise unavailable from unavailable.__cause__

    async def _ask_online(
        self,
        channels: Sequence[Channel],
        question: Callable[[rattler.Gateway], Coroutine[None, None, Answer]],
        limit: float,
    ) -> Answer:
        """Ask the channels; where one refuses shards, their whole indexes.

        rattler takes 404 for the list of shards alone as a sign that there are none. Servers over a
        bucket answer 403 for what is missing, and a list may name shards that are not there.
        """
        urls = tuple(channel.url for channel in channels)
        if self._clock() >= self._whole_until.get(urls, 0):
            try:
                return await self._bounded(question(self._gateway), channels, limit)
            except ChannelUnavailable as exc:
                if not _NO_SHARDS.search(str(exc.__cause__)):
                    raise
            self._whole_until[urls] = self._clock() + max(self._ttl_seconds, RETRY_SECONDS)
        return await self._bounded(question(self._whole), channels, limit)

    async def versions(
        self, channel: Channel, platform: Subdir, name: str, until: datetime.datetime | None
    ) -> list[str]:
        """Return the versions of a package that were published until then, newest first."""
        found = await self.records(channel, platform, [name])
        fitting = {
            record.version
            for record in found
            if until is None or (record.timestamp is not None and record.timestamp <= until)
        }
        return [str(version) for version in sorted(fitting, reverse=True)]

    async def records(
        self, channel: Channel, platform: Subdir, names: Sequence[str]
    ) -> list[rattler.RepoDataRecord]:
        """Return everything that the channel has under these names, for ``platform`` and noarch."""

        async def question(gateway: rattler.Gateway) -> list[rattler.RepoDataRecord]:
            found = await gateway.query(
                [rattler.Channel(channel.url)],
                [platform, NOARCH],
                [rattler.MatchSpec(name) for name in names],
                recursive=False,
                channel_relations="disabled",
            )
            return [record for records in found for record in records]

        return await self.ask([channel], question)

    async def in_both_formats(
        self, channel: Channel, subdirs: Sequence[str], names: Sequence[str]
    ) -> list[rattler.RepoDataRecord]:
        """Return everything under these names, ``.tar.bz2`` beside ``.conda`` too.

        The gateway gives the ``.conda`` alone; so whole indexes are read, which takes a second or
        two with the largest channels.

        Raises:
            ChannelUnavailable: It does not give a whole index, and never has.
        """

        async def read(action: CacheAction) -> list[rattler.RepoDataRecord]:
            indexes = await fetch_repo_data(
                channels=[rattler.Channel(channel.url)],
                platforms=[rattler.Subdir(subdir) for subdir in subdirs],
                cache_path=self._cache_dir,
                callback=None,
                client=self._client,
                fetch_options=FetchRepoDataOptions(cache_action=action),
            )
            return await asyncio.to_thread(_load, indexes, names)

        self._cache_dir.mkdir(parents=True, exist_ok=True)
        try:
            return await self._bounded(read("cache-or-fetch"), [channel], self._timeout_seconds)
        except ChannelUnavailable as unavailable:
            try:
                return await self._bounded(
                    read("force-cache-only"), [channel], self._timeout_seconds
                )
            except ChannelUnavailable:
                raise unavailable from unavailable.__cause__

    def filter(self, gateway: rattler.Gateway) -> Filter:
        """Return what finds what rules leave out of a gateway that a question was given."""
        return self._filters.get(id(gateway)) or Filter()

    def forget(self, channels: Sequence[Channel]) -> None:
        """Take what there is of channels from memory and disk; nothing of it is read."""
        for channel in channels:
            self._forget_filtered(channel)
            for gateway in (self._gateway, self._whole):
                gateway.clear_repodata_cache(rattler.Channel(channel.url), clear_disk=True)

    def _offline(self, urls: tuple[str, ...]) -> rattler.Gateway:
        """Return a gateway that has what is on disk now, however old."""
        shards = self._clock() >= self._whole_until.get(urls, 0)
        config = SourceConfig(cache_action="force-cache-only", sharded_enabled=shards)
        return rattler.Gateway(cache_dir=self._cache_dir, default_config=config)

    def _forget_filtered(self, channel: Channel) -> None:
        for each in self._filters.values():
            each.forget(channel.url)

    def _renew(self, channels: Sequence[Channel]) -> None:
        now = self._clock()
        for channel in channels:
            stale_at = self._stale_at.get(channel.url)
            if stale_at is not None and now < stale_at:
                continue
            if stale_at is not None:
                self._forget_filtered(channel)
                for gateway in (self._gateway, self._whole):
                    gateway.clear_repodata_cache(rattler.Channel(channel.url))
            self._stale_at[channel.url] = now + self._ttl_seconds

    async def _bounded(
        self, answer: Coroutine[None, None, Answer], channels: Sequence[Channel], seconds: float
    ) -> Answer:
        """Wait for rattler at most that long: its own timeout does not cover every wait."""
        try:
            with mapped_failures(channels, self._credentials):
                return await asyncio.wait_for(answer, seconds)
        except TimeoutError as exc:
            raise channel_unavailable("timed out", channels) from exc


def _client(max_retries: int, timeout_seconds: int, credentials: Path | None) -> Client:
    """Return what asks servers, on a machine without certificates of authorities, too.

    rattler makes none there, not even for channels without TLS; a bare Debian is such a machine.
    The environment is the only way to give it certifi's.
    """
    try:
        return _new_client(max_retries, timeout_seconds, credentials)
    except ValueError:
        if "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
            raise
        os.environ["SSL_CERT_FILE"] = certifi.where()
        return _new_client(max_retries, timeout_seconds, credentials)


def _new_client(max_retries: int, timeout_seconds: int, credentials: Path | None) -> Client:
    """Return a client that sends the file's credentials, or none."""
    # rattler's default sends what it finds in ``~/.rattler``, ``.netrc`` and the user's keyring.
    if credentials is None:
        return Client([RetryMiddleware(max_retries)], timeout=timeout_seconds)
    path = json.dumps(str(credentials.absolute()))
    config = Config.from_toml(f"authentication-override-file = {path}")
    return Client.from_config(config, max_retries=max_retries, timeout=timeout_seconds)


def _normalized(names: Iterable[rattler.PackageName]) -> frozenset[str]:
    return frozenset(name.normalized for name in names)


def _load(indexes: Iterable[SparseRepoData], names: Sequence[str]) -> list[rattler.RepoDataRecord]:
    both = PackageFormatSelection.BOTH
    found = []
    for index in indexes:
        with index:
            found += [record for name in names for record in index.load_records(name, both)]
    return found
