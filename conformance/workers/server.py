"""A server whose work is done by a worker of its own; to tests it is a server like any other."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from conformance.clients.server import Server
from conformance.workers.brokers import RedisServer
from conformance.workers.worker import Worker


class ServerWithWorker(Server):
    """A server, a worker over the same store, and a Redis between the two."""

    def __init__(
        self,
        store: Path,
        channel_url: str,
        base: Path,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare them; see :class:`Server`."""
        self._redis = RedisServer()
        super().__init__(store, channel_url, base, {**(settings or {}), **self._redis.settings})
        self._worker = Worker(store.with_name(f"{store.name}-worker"), self.settings)
        self._started = ExitStack()

    def __enter__(self) -> Self:
        """Start all three and wait until they answer."""
        with ExitStack() as stack:
            stack.enter_context(self._redis)
            stack.enter_context(self._worker)
            super().__enter__()
            self._started = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them; store and logs stay."""
        super().__exit__()
        self._started.close()

    def metric(self, name: str) -> float:
        """Return a counter's value, summed over its labels, of the server and its worker."""
        return super().metric(name) + self._worker.metric(name)

    def log_end(self) -> str:
        """Return the ends of what both logged."""
        return f"{super().log_end()}\n\n{self._worker.log_end()}"
