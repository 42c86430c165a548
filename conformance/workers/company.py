"""Servers and workers over one bucket, with a broker, on one machine."""

import asyncio
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal, Self

import httpx

from conformance.channel import ChannelPaths
from conformance.clients.engines import EngineMissing
from conformance.clients.images import HEADERS
from conformance.clients.server import Server
from conformance.missing import skip_unless_ci
from conformance.s3 import S3Server
from conformance.workers.brokers import RabbitServer, RedisServer
from conformance.workers.worker import Worker

BrokerName = Literal["redis", "rabbitmq"]

#: How often clients send a request whose connection breaks, as engines do.
_TRIES: Final = 5

#: Longer than a pull whose workers are killed again and again may take.
PULL_SECONDS: Final = 300


class Company:
    """Three servers and three workers; a context manager."""

    def __init__(
        self,
        paths: ChannelPaths,
        channel_url: str,
        broker: BrokerName,
        *,
        count: int = 3,
        settings: dict[str, object] | None = None,
    ) -> None:
        """Prepare it.

        Args:
            paths: The base image.
            channel_url: The only channel.
            broker: Which one hands out tasks; what is known of them is in a Redis either way.
            count: How many servers there are, and workers.
            settings: More of them, of servers and workers alike.
        """
        self._paths = paths
        self._channel_url = channel_url
        self._settings = settings or {}
        self._count = count
        self._stack = ExitStack()
        self.redis = RedisServer()
        self.rabbit = RabbitServer() if broker == "rabbitmq" else None
        self.servers: list[Server] = []
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        """Start all of it, over an empty bucket."""
        with ExitStack() as stack:
            home = Path(tempfile.mkdtemp(prefix="pf-company-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            try:
                s3 = stack.enter_context(S3Server())
            except EngineMissing as error:
                skip_unless_ci(str(error))
            stack.enter_context(self.redis)
            broker = self.redis.settings
            if self.rabbit is not None:
                broker = {"broker": stack.enter_context(self.rabbit).url, "redis": self.redis.url}
            for number in range(self._count):
                own = {
                    **s3.settings("shared"),
                    **broker,
                    "scratch": home / f"scratch-{number}",
                    "workers": 1,
                    **self._settings,
                }
                server = Server(home / f"server-{number}", self._channel_url, self._paths.base, own)
                self.servers.append(stack.enter_context(server))
                worker = Worker(home / f"worker-{number}", server.settings)
                self.workers.append(stack.enter_context(worker))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all of it."""
        self._stack.close()

    def metric(self, name: str) -> float:
        """Return a counter's value, summed over the workers."""
        return sum(worker.metric(name) for worker in self.workers)

    def log_end(self) -> str:
        """Return the ends of what all of them logged."""
        logs = [server.log_end() for server in self.servers]
        logs += [worker.log_end() for worker in self.workers]
        return "\n\n".join(logs)


async def ask_at_once(servers: list[Server], name: str, count: int) -> list[httpx.Response]:
    """Return the answers that so many clients get, who ask the servers in turn at once."""
    repository, _, tag = name.partition(":")
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(
        headers=HEADERS, follow_redirects=True, timeout=PULL_SECONDS, limits=limits
    ) as http:
        urls = [
            f"{servers[number % len(servers)].url}/v2/{repository}/manifests/{tag}"
            for number in range(count)
        ]
        return list(await asyncio.gather(*(_get(http, url) for url in urls)))


async def _get(http: httpx.AsyncClient, url: str) -> httpx.Response:
    for left in reversed(range(_TRIES)):
        try:
            return await http.get(url)
        except httpx.ReadError:  # the connection was idle, and closed as the request was sent
            if not left:
                raise
    raise AssertionError("unreachable")
