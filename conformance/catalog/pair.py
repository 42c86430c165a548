"""Two servers over one PostgreSQL and one bucket, with users: the catalog as a company runs it."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from conformance.accounts import ADMIN, Accounts
from conformance.catalog.person import Person
from conformance.channel import ChannelPaths
from conformance.clients.engines import EngineMissing
from conformance.clients.engines.program import run
from conformance.clients.server import Server, command
from conformance.missing import skip_unless_ci
from conformance.postgres import PostgresServer
from conformance.s3 import S3Server

#: Who has an account and no rights to speak of.
USERS: Final = ("ada", "bob")


class Pair:
    """Two servers; a context manager.

    Each can be killed, and started again on its port with :meth:`Server.start`.
    """

    def __init__(self, paths: ChannelPaths, channel_url: str) -> None:
        """Prepare it.

        Args:
            paths: The base image.
            channel_url: The only channel.
        """
        self._paths = paths
        self._channel_url = channel_url
        self._stack = ExitStack()
        self.postgres = PostgresServer()
        self.s3 = S3Server()
        self.servers: list[Server] = []
        self.admin = Person(ADMIN)
        self.ada, self.bob = (Person(name) for name in USERS)

    def __enter__(self) -> Self:
        """Start all of it: an empty database and bucket."""
        with ExitStack() as stack:
            home = Path(tempfile.mkdtemp(prefix="pf-pair-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            try:
                stack.enter_context(self.s3)
            except EngineMissing as error:
                skip_unless_ci(str(error))
            stack.enter_context(self.postgres)
            shared = {
                **self.s3.settings("shared"),
                "database": self.postgres.database(),
                "auth_file": accounts(home / "auth.toml").path,
                "workers": 1,
            }
            for number in range(2):
                own = shared | {"scratch": home / f"scratch-{number}"}
                server = Server(home / f"server-{number}", self._channel_url, self._paths.base, own)
                self.servers.append(server)
            upgraded = run(command("database", "upgrade"), env=self.servers[0].environment)
            assert upgraded.returncode == 0, upgraded.output
            for server in self.servers:
                stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all of it."""
        self._stack.close()

    def log_end(self) -> str:
        """Return the ends of what the servers logged."""
        return "\n\n".join(server.log_end() for server in self.servers)


def accounts(path: Path) -> Accounts:
    """Return an auth file with an administrator, and :data:`USERS` who may pull what is open."""
    made = Accounts(path)
    for name in USERS:
        made.add_user(name, "env/**:pull")
    return made
