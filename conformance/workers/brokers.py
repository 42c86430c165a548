"""Redis and RabbitMQ of Debian, each with a directory of its own on free ports."""

import shutil
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from redis import Redis

from conformance.clients.engines.program import Daemon
from conformance.missing import skip_unless_ci
from conformance.ports import free_port

#: What is said where one of them is not there.
MISSING: Final = "redis-server or rabbitmq-server is not installed; .ci/install does it"
_RABBIT: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RedisServer:
    """A Redis that keeps nothing on disk; a context manager.

    It can be killed and started again within: it has forgotten everything then.
    """

    def __init__(self) -> None:
        self._home = Path()
        self._daemon: Daemon | None = None
        self.port = free_port()

    def __enter__(self) -> Self:
        """Start it."""
        program = shutil.which("redis-server") or skip_unless_ci(MISSING)
        self._home = Path(tempfile.mkdtemp(prefix="pf-redis-"))
        argv = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        argv += ["--appendonly", "no", "--dir", str(self._home)]
        self._daemon = Daemon(argv, self._home / "redis.log", {})
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._daemon is not None:
            self._daemon.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def settings(self) -> dict[str, object]:
        """What servers and workers need to use it for everything."""
        return {"broker": self.url}

    def keys(self, *patterns: str) -> list[str]:
        """Return the keys of ours that match one of these, e.g. ``"running:*"``."""
        with Redis.from_url(self.url) as redis:
            found = [redis.scan_iter(f"pullforge:{pattern}", 1000) for pattern in patterns]
            return sorted(key.decode() for keys in found for key in keys)

    def start(self) -> None:
        """Start it again after :meth:`kill`."""
        assert self._daemon is not None
        self._daemon.start(lambda: answers(self.port))

    def kill(self) -> None:
        """Kill it without a warning."""
        assert self._daemon is not None
        self._daemon.kill_alone()


class RabbitServer:
    """A RabbitMQ; a context manager. Killed and started again, it still has its queues."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._daemon: Daemon | None = None
        self.port = free_port()

    def __enter__(self) -> Self:
        """Start it, which takes some seconds."""
        if not _RABBIT.exists():
            skip_unless_ci(MISSING)
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-rabbit-")))
        names, distribution = free_port(), free_port()
        environment = {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"pullforge{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "logs"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(home / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1",
        }
        (home / "plugins").write_text("[].\n")
        # The server would start this in the background and leave it.
        epmd = Daemon(["epmd", "-port", str(names), "-address", "127.0.0.1"], home / "epmd", {})
        self._stack.callback(epmd.stop)
        epmd.start(lambda: answers(names))
        self._daemon = Daemon([_RABBIT], home / "rabbit.log", environment)
        self._stack.callback(self._daemon.stop)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._stack.close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it again after :meth:`kill`."""
        assert self._daemon is not None
        self._daemon.start(lambda: answers(self.port), timeout_seconds=120)

    def kill(self) -> None:
        """Kill it without a warning."""
        assert self._daemon is not None
        self._daemon.kill_session()


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
