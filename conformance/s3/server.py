"""versitygw: an S3 server over a directory, built from its Go module once."""

import shutil
import tempfile
from pathlib import Path
from typing import Final, Self

import httpx

from conformance.clients.engines.go_program import GoProgram
from conformance.clients.engines.program import Daemon
from conformance.ports import free_port

#: Takes a minute to build, once for a user of the machine.
VERSITYGW: Final = GoProgram(
    "versitygw", "github.com/versity/versitygw", "v1.8.0", ("cmd/versitygw",)
)

#: The bucket that every server has.
BUCKET: Final = "pullforge-test"
REGION: Final = "us-east-1"
ACCESS_KEY: Final = "test-access"
SECRET_KEY: Final = "test-secret-of-no-value"


class S3Server:
    """A server with a directory of its own on a free port; a context manager.

    It can be stopped and started again within: port and data stay.
    """

    def __init__(self) -> None:
        self._home = Path()
        self._daemon: Daemon | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Start it, with an empty bucket.

        Raises:
            EngineMissing: There is no Go to build it with.
        """
        program = VERSITYGW.directory() / "versitygw"
        self._home = Path(tempfile.mkdtemp(prefix="pf-s3-"))
        (self.data / BUCKET).mkdir(parents=True)
        self.port = free_port()
        argv = [program, "--port", f"127.0.0.1:{self.port}", "--region", REGION]
        argv += ["--keep-alive", "--quiet", "--health", "/health", "posix", self.data]
        env = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        self._daemon = Daemon([str(a) for a in argv], self._home / "versitygw.log", env)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The directory whose directories are buckets, and whose files are objects."""
        return self._home / "data"

    def settings(self, prefix: str = "") -> dict[str, object]:
        """Return what a pullforge server needs to keep its store here, as in ``PULLFORGE_…``."""
        return {
            "store": f"s3://{BUCKET}/{prefix}".rstrip("/"),
            "s3_endpoint": self.url,
            "s3_region": REGION,
            "s3_access_key_id": ACCESS_KEY,
            "s3_secret_access_key": SECRET_KEY,
        }

    def start(self) -> None:
        """Start it again after :meth:`stop`."""
        assert self._daemon is not None
        self._daemon.start(self._is_up)

    def stop(self) -> None:
        """Stop answering; what is stored stays."""
        if self._daemon is not None:
            self._daemon.stop()

    def log_end(self) -> str:
        """Return the end of what it logged."""
        return self._daemon.log_end() if self._daemon is not None else ""

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
