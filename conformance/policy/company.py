"""A company: two servers with a policy's directory, over one PostgreSQL and one bucket.

IT keeps its policies and advisories in directories, as ``git`` would bring them; ada has the
namespace ``bioinformatics``, bob has ``analytics``.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import httpx

from conformance.accounts import ADMIN
from conformance.catalog.pair import accounts
from conformance.catalog.person import Person
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.engines import EngineMissing
from conformance.clients.engines.program import run
from conformance.clients.images import HEADERS
from conformance.clients.server import Server, command
from conformance.missing import skip_unless_ci
from conformance.policy.channels import MAIN, SPECIAL, make_channels
from conformance.postgres import PostgresServer
from conformance.s3 import S3Server

#: Whose namespace is whose.
SPACES: Final = {"bioinformatics": "ada", "analytics": "bob"}
#: How long servers may take until they know of a file that was changed.
_KNOWN_SECONDS: Final = 30


class Company:
    """The servers; a context manager.

    Each can be killed, and started again on its port with :meth:`Server.start`.
    """

    def __init__(self, paths: ChannelPaths, **settings: object) -> None:
        """Prepare it; the settings are for both servers."""
        self._paths = paths
        self._more = settings
        self._stack = ExitStack()
        self.postgres = PostgresServer()
        self.s3 = S3Server()
        self.home = Path()
        self.servers: list[Server] = []
        self.admin = Person(ADMIN)
        self.ada, self.bob = Person("ada"), Person("bob")

    def __enter__(self) -> Self:
        """Start all of it, with the namespaces and without any policy."""
        with ExitStack() as stack:
            self.home = Path(tempfile.mkdtemp(prefix="pf-company-"))
            stack.callback(shutil.rmtree, self.home, ignore_errors=True)
            try:
                stack.enter_context(self.s3)
            except EngineMissing as error:
                skip_unless_ci(str(error))
            stack.enter_context(self.postgres)
            make_channels(self._paths, self.home / "channels")
            channels = stack.enter_context(ChannelServer(self.home / "channels"))
            for name in ("policies", "advisories"):
                (self.home / name).mkdir()
            shared = {
                **self.s3.settings("shared"),
                "database": self.postgres.database(),
                "auth_file": accounts(self.home / "auth.toml").path,
                "channels": {name: f"{channels.url}/{name}" for name in (MAIN, SPECIAL)},
                "default_channels": [MAIN, SPECIAL],
                "policies": self.home / "policies",
                "advisories": self.home / "advisories",
                "workers": 1,
                **self._more,
            }
            for number in range(2):
                own = shared | {"scratch": self.home / f"scratch-{number}"}
                home = self.home / f"server-{number}"
                self.servers.append(self._server(home, channels.url, own))
            upgraded = run(command("database", "upgrade"), env=self.servers[0].environment)
            assert upgraded.returncode == 0, upgraded.output
            for server in self.servers:
                stack.enter_context(server)
            for name, owner in SPACES.items():
                new = {"name": name, "owner": owner}
                self.admin.must(self.servers[0], "POST", "/namespaces", new)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all of it."""
        self._stack.close()

    def set_policy(self, name: str, text: str) -> None:
        """Write a policy's file, and return when both servers know of it."""
        path = self.home / "policies" / f"{name}.toml"
        beside = path.with_suffix(".new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
        self.until(lambda server: self.policy(server, name).get("text") == text)

    def policy(self, server: Server, name: str) -> Mapping[str, Any]:
        """Return what a server knows of a policy; nothing if it knows none."""
        answer = self.admin.send(server, "GET", f"/policies/{name}")
        found: Mapping[str, Any] = answer.json() if answer.is_success else {}
        return found

    def until(self, holds: Callable[[Server], bool]) -> None:
        """Return when something holds at both servers that they come to by themselves."""
        deadline = time.monotonic() + _KNOWN_SECONDS
        for server in self.servers:
            while not holds(server):
                assert time.monotonic() < deadline, f"not within {_KNOWN_SECONDS} s"
                time.sleep(0.2)

    def log_end(self) -> str:
        """Return the ends of what the servers logged."""
        return "\n\n".join(server.log_end() for server in self.servers)

    def _server(self, home: Path, url: str, settings: Mapping[str, object]) -> Server:
        return Server(home, url, self._paths.base, settings)


def pulled_by_anybody(server: Server, name: str) -> httpx.Response:
    """Return what a stranger is answered who pulls an image, e.g. ``"env/click:latest"``."""
    repository, _, tag = name.partition(":")
    return httpx.get(
        f"{server.url}/v2/{repository}/manifests/{tag or 'latest'}",
        headers=HEADERS,
        follow_redirects=True,
        timeout=120,
    )
