"""What benchmarks share: the channel, servers, docker, a registry to compare with, and room."""

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

from benchmarks.docker_registry import DockerRegistry
from benchmarks.processes import wait_for_rest
from conformance.channel import ChannelPaths, ensure
from conformance.channel.server import ChannelServer
from conformance.clients.engines import Docker
from conformance.clients.server import Server
from registry.cli.session import NullMetrics
from registry.settings import Settings
from registry.wiring.building import Builder, open_builder


class Bench:
    """Starts what a benchmark asks for, when it asks; stops all of it at the end."""

    def __init__(self, *, short: bool) -> None:
        """Make the bench.

        Args:
            short: Whether everything is done once, on small input, only to see that it works.
        """
        self.short = short
        self._stack = ExitStack()
        self._count = itertools.count(1)

    def __enter__(self) -> Self:
        """Make room for what is written."""
        # On a disk, and in one place: layers are moved between directories by renaming.
        room = tempfile.TemporaryDirectory(prefix="pf-bench-", ignore_cleanup_errors=True)
        self._room = Path(self._stack.enter_context(room))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything and delete what was written."""
        self._stack.close()

    def runs(self, full: int) -> int:
        """Return how often to measure: ``full`` times, or once on a short bench."""
        return 1 if self.short else full

    def directory(self, name: str) -> Path:
        """Return a new directory."""
        path = self._room / f"{name}-{next(self._count)}"
        path.mkdir()
        return path

    @cached_property
    def paths(self) -> ChannelPaths:
        """The channel's directory and the base image's layout."""
        return ensure("full")

    @cached_property
    def channel(self) -> ChannelServer:
        """The channel over HTTP."""
        return self._stack.enter_context(ChannelServer(self.paths.channel))

    @cached_property
    def docker(self) -> Docker:
        """Debian's docker with a daemon of its own."""
        return self._stack.enter_context(Docker())

    @cached_property
    def registry(self) -> DockerRegistry:
        """Debian's docker-registry, to compare with."""
        return self._stack.enter_context(DockerRegistry(self.directory("docker-registry")))

    @contextmanager
    def server(self, store: Path | None = None, **settings: object) -> Iterator[Server]:
        """Run our server for a while, over an empty store unless one is given.

        It has come to rest: what it does after its first answer, it does once and not for a pull.
        """
        with self.new_server(store, **settings) as server:
            wait_for_rest(server.pid)
            yield server

    def new_server(self, store: Path | None = None, **settings: object) -> Server:
        """Return our server, which has to be started."""
        store = store or self.directory("server") / "store"
        return Server(store, self.channel.url, self.paths.base, settings)

    @asynccontextmanager
    async def builder(self) -> AsyncIterator[Builder]:
        """Give what the server builds with, in this process, over an empty store."""
        settings = Settings(
            store=str(self.directory("builder") / "store"),
            channels={"conda-forge": self.channel.url},
            default_channels=["conda-forge"],
            base=f"oci:{self.paths.base}",
        )
        async with open_builder(settings, NullMetrics()) as builder:
            yield builder

    def pull_seconds(self, reference: str) -> float:
        """Return how long docker, which has none of its layers, takes to pull an image."""
        # What earlier work left to be written would else be written meanwhile.
        os.sync()
        result = self.docker.pull(reference)
        assert result.ok, result.output
        self.docker.remove(reference)
        return result.seconds
