"""PostgreSQL of Debian, with a directory of its own on a free port."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Final, Self

from conformance.missing import skip_unless_ci
from conformance.ports import free_port

#: What is said where it is not there.
MISSING: Final = "postgresql-15 is not installed; .ci/install does it"
#: As whom it runs where root starts it: it refuses to be root.
_USER: Final = "postgres"


def programs() -> Path | None:
    """Return the directory with PostgreSQL's programs, the newest; ``None`` if there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    return found[-1].parent if found else None


class PostgresServer:
    """A server that forgets everything at the end; a context manager.

    It can be stopped, killed and started again within, on the same port and with its data.
    """

    def __init__(self) -> None:
        """Prepare it."""
        self._home = Path()
        self._programs = Path()
        self.port = free_port()

    def __enter__(self) -> Self:
        """Start it."""
        self._programs = programs() or skip_unless_ci(MISSING)
        self._home = Path(tempfile.mkdtemp(prefix="pf-postgres-", dir="/tmp"))
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(self._home, user.pw_uid, user.pw_gid)
        self._do("initdb", "--auth=trust", "--username=pullforge", "--encoding=UTF8", "--no-sync")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def start(self) -> None:
        """Start it again."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._home} -c fsync=off"
            " -c max_connections=200 -c shared_buffers=64MB"
        )
        log = self._home / "server.log"
        self._do("pg_ctl", "start", "--wait", "--silent", f"--log={log}", f"--options={options}")

    def stop(self) -> None:
        """End it in good order; who is connected is cut off."""
        self._do("pg_ctl", "stop", "--wait", "--silent", "--mode=fast")

    def kill(self) -> None:
        """End it at once, as when the machine loses its power; harmless if it has ended."""
        self._do("pg_ctl", "stop", "--wait", "--silent", "--mode=immediate", is_checked=False)

    def database(self) -> str:
        """Return the address of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(
            *("psql", "--quiet", "--no-psqlrc", f"--host={self._home}", f"--port={self.port}"),
            *("--username=pullforge", "--dbname=postgres", f"--command=CREATE DATABASE {name}"),
        )
        # asyncpg tells nobody but the event loop of a connection that is given up while it asks
        # for TLS, and tests take that for a failure.
        return f"postgresql://pullforge@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def _do(self, program: str, *arguments: str, is_checked: bool = True) -> None:
        self._run(program, f"--pgdata={self._home}/data", *arguments, is_checked=is_checked)

    def _run(self, program: str, *arguments: str, is_checked: bool = True) -> None:
        argv = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            argv = ["runuser", "-u", _USER, "--", *argv]
        # Into a file: the server would keep a pipe open.
        with tempfile.TemporaryFile() as said:
            ended = subprocess.run(argv, stdout=said, stderr=said, check=False, cwd="/")
            if is_checked and ended.returncode:
                said.seek(0)
                raise RuntimeError(f"{program} failed: {said.read().decode(errors='replace')}")
