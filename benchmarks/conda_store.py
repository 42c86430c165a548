"""conda-store-server of PyPI, to compare with: installed by itself, over PostgreSQL."""

import asyncio
from pathlib import Path
from typing import Final, Self

import asyncpg
import httpx

from benchmarks.catalog_rows import Size, analyze
from conformance.clients.engines.program import Daemon
from conformance.conda_store.homes import server_home
from conformance.ports import free_port

_CONFIG: Final = """\
from conda_store_server.storage import LocalStorage

c.CondaStore.storage_class = LocalStorage
c.LocalStorage.storage_path = "{home}/storage"
c.CondaStore.store_directory = "{home}/state"
c.CondaStore.database_url = "{database}"
c.CondaStore.conda_indexed_channels = []
c.CondaStoreServer.address = "127.0.0.1"
c.CondaStoreServer.port = {port}
c.CondaStoreServer.url_prefix = "/conda-store"
"""
#: Written straight into its tables. Rows come in the order in which it lists them, by their
#: number; all builds share a specification and have no artifacts, so that it reads as little
#: as can be for each.
_ROWS: Final = (
    """
    INSERT INTO namespace (id, name)
    SELECT 1000 + n, 'team-' || to_char(n, 'FM0000') FROM generate_series(0, {namespaces} - 1) n
    """,
    """
    INSERT INTO specification (id, name, spec, sha256, created_on, is_lockfile)
    VALUES (1, 'env', '{{"name": "env", "channels": ["conda-forge"], "dependencies": ["numpy"]}}',
            repeat('0', 64), now(), false)
    """,
    """
    INSERT INTO environment (id, namespace_id, name, description)
    SELECT row_number() OVER (ORDER BY e % {namespaces}, e), 1000 + e % {namespaces},
           'env-' || to_char(e, 'FM00000'), 'what number ' || e || ' is for'
    FROM generate_series(0, {environments} - 1) e
    """,
    """
    INSERT INTO build (id, specification_id, environment_id, status, size, scheduled_on,
                       started_on, ended_on, build_key_version)
    SELECT (e.id - 1) * {versions} + v, 1, e.id, 'COMPLETED', 0, now(), now(), now(), 2
    FROM environment e, generate_series(1, {versions}) v
    """,
    "UPDATE environment SET current_build_id = id * {versions}",
)


class CondaStore:
    """A ``conda-store-server`` on a free port, over an empty PostgreSQL database."""

    def __init__(self, home: Path, database: str) -> None:
        """Prepare it.

        Args:
            home: A directory for its settings, its log and what it keeps.
            database: Its address, as ``postgresql://…``.
        """
        self._database = database
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/conda-store"
        for name in ("storage", "state"):
            (home / name).mkdir()
        config = home / "config.py"
        config.write_text(_CONFIG.format(home=home, port=port, database=database))
        program = server_home() / "bin" / "conda-store-server"
        self._daemon = Daemon([program, "--config", config], home / "log", {"HOME": str(home)})

    def __enter__(self) -> Self:
        """Start it; it makes its tables."""
        self._daemon.start(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        # It waits for a worker for ever, and for that it waits when it is asked to end.
        self._daemon.kill_session()

    def write(self, size: Size) -> None:
        """Write the rows that our catalog has."""
        asyncio.run(self._write(size))

    def log_in(self) -> str:
        """Return the header by which an administrator is known: its default login takes anybody."""
        account = {"username": "ada", "password": "password"}
        answer = httpx.post(f"{self.url}/login/", json=account, timeout=30)
        return f"Cookie: conda-store-auth={answer.cookies['conda-store-auth']}"

    async def _write(self, size: Size) -> None:
        connection = await asyncpg.connect(self._database)
        try:
            for statement in _ROWS:
                await connection.execute(
                    statement.format(
                        namespaces=size.namespaces,
                        environments=size.environments,
                        versions=size.versions,
                    )
                )
        finally:
            await connection.close()
        await analyze(self._database)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v1/", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
