"""Three servers over one PostgreSQL and one store, of which any may be killed."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from conformance.accounts import ADMIN, Accounts
from conformance.catalog.person import Person
from conformance.clients.engines.program import run
from conformance.clients.server import Server, command
from conformance.postgres import PostgresServer

_SERVERS: Final = 3


class Trio:
    """Three servers; a context manager.

    Each can be killed, and started again on its port with :meth:`Server.start`.
    """

    def __init__(self, base: Path, channel_url: str, **settings: object) -> None:
        """Prepare them.

        Args:
            base: The base image; where nothing is built, it need not be there.
            channel_url: The only channel.
            settings: More settings of all three.
        """
        self._base = base
        self._channel_url = channel_url
        self._settings = settings
        self._stack = ExitStack()
        self._postgres = PostgresServer()
        #: The address of their database.
        self.database = ""
        self.servers: list[Server] = []
        self.admin = Person(ADMIN)

    def __enter__(self) -> Self:
        """Start all of it: an empty database and store."""
        with ExitStack() as stack:
            home = Path(tempfile.mkdtemp(prefix="pf-trio-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
            stack.enter_context(self._postgres)
            self.database = self._postgres.database()
            shared = {
                "database": self.database,
                "auth_file": Accounts(home / "auth.toml").path,
                "workers": 1,
                **self._settings,
            }
            for number in range(_SERVERS):
                own = shared | {"scratch": home / f"scratch-{number}"}
                self.servers.append(Server(home / "store", self._channel_url, self._base, own))
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
