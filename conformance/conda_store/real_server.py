"""conda-store-server 2025.2.2 of PyPI, over SQLite or PostgreSQL, with rows by its own models.

It has no worker: it says so in its log, and answers all the same; what is asked to be built stays
queued.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import httpx

from conformance.clients.engines.program import Daemon
from conformance.conda_store import inventory
from conformance.conda_store.homes import server_home
from conformance.conda_store.inventory import Inventory
from conformance.ports import free_port

_ROWS: Final = Path(__file__).with_name("rows.py")
_CONFIG: Final = """\
from conda_store_server.storage import LocalStorage
from sqlalchemy import event
from sqlalchemy.engine import Engine

@event.listens_for(Engine, "connect")
def hurry(connection, record):
    # Each of its forty migrations would wait for the disk.
    if "sqlite" in type(connection).__module__:
        connection.execute("PRAGMA synchronous = OFF")

c.CondaStore.storage_class = LocalStorage
c.LocalStorage.storage_path = "{home}/storage"
c.CondaStore.store_directory = "{home}/state"
c.CondaStore.database_url = "{database}"
c.CondaStore.conda_indexed_channels = []
c.CondaStore.conda_allowed_channels = []
c.CondaStoreServer.address = "127.0.0.1"
c.CondaStoreServer.port = {port}
c.CondaStoreServer.url_prefix = "/conda-store"
c.AuthenticationBackend.secret = "{token}"
c.AuthenticationBackend.predefined_tokens = {{
    "{token}": {{"primary_namespace": "default", "role_bindings": {{"*/*": ["admin"]}}}}
}}
c.RBACAuthorizationBackend.role_mappings_version = {generation}
"""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of an environment and of its builds, the oldest first."""

    environment: int
    builds: Sequence[int]


@dataclass(frozen=True, slots=True)
class RealServer:
    """A ``conda-store-server`` that runs.

    With :meth:`start` it is empty but for its namespaces ``default`` and ``filesystem``::

        with RealServer.start(tmp_path) as real:
            real.fill(20, 300, 2000, locks_of(paths.channel, channel.url, 60))
            httpx.get(f"{real.url}/api/v1/build/", headers=real.headers)
    """

    #: Its address, without a slash: ``http://127.0.0.1:40001/conda-store``.
    url: str
    #: A token of an administrator (``*/*``).
    token: str
    #: Its database's address.
    database: str
    #: Where it keeps locks, logs and archives.
    storage: Path
    daemon: Daemon

    @classmethod
    @contextmanager
    def start(
        cls, home: Path, database: str | None = None, *, generation: int = 1
    ) -> Iterator[Self]:
        """Start it; end it when the block is left.

        Args:
            home: A directory for its settings, its log and what it keeps.
            database: An empty database, as ``postgresql://…``; ``None``: a file of SQLite.
            generation: Which role mappings count, 1 or 2.
        """
        for name in ("storage", "state"):
            (home / name).mkdir(parents=True)
        database = database or f"sqlite:///{home}/conda-store.sqlite"
        port, token, config = free_port(), "administrator-of-everything-0123", home / "config.py"
        config.write_text(
            _CONFIG.format(
                home=home, port=port, database=database, token=token, generation=generation
            )
        )
        program = server_home() / "bin" / "conda-store-server"
        argv: list[str | Path] = [program, "--config", config]
        daemon = Daemon(argv, home / "log", {"HOME": str(home)})
        url = f"http://127.0.0.1:{port}/conda-store"
        daemon.start(lambda: _answers(url), timeout_seconds=600)
        try:
            yield cls(url, token, database, home / "storage", daemon)
        finally:
            # It waits for a worker for ever, and for that it waits when it is asked to end.
            daemon.kill_session()

    @property
    def headers(self) -> dict[str, str]:
        """What makes a request the administrator's."""
        return {"Authorization": f"Bearer {self.token}"}

    def write(self, what: Inventory) -> dict[str, Numbers]:
        """Write an inventory into its database; return its numbers by ``<namespace>/<name>``."""
        program = server_home() / "bin" / "python"
        outcome = subprocess.run(
            [program, _ROWS, self.database, self.storage],
            input=json.dumps(what.document(), default=_text),
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        found: dict[str, Any] = json.loads(outcome.stdout)["environments"]
        return {name: Numbers(*numbers) for name, numbers in found.items()}

    def fill(
        self,
        namespaces: int,
        environments: int,
        builds: int,
        locks: Sequence[Mapping[str, Any]] = (),
    ) -> Inventory:
        """Write so many of each (:func:`conformance.conda_store.inventory.sized`); return them."""
        what = inventory.sized(namespaces, environments, builds, locks)
        self.write(what)
        return what

    def token_of(self, role_bindings: Mapping[str, Sequence[str]], primary: str = "default") -> str:
        """Return a token with some rights only, such as ``{"team-000/*": ["viewer"]}``."""
        wanted = {"primary_namespace": primary, "role_bindings": role_bindings}
        answer = httpx.post(
            f"{self.url}/api/v1/token/", json=wanted, headers=self.headers, timeout=30
        )
        return str(answer.raise_for_status().json()["data"]["token"])


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _text(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()
