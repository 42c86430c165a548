from collections.abc import AsyncIterator, Iterator

import pytest
from botocore.retries.standard import ExponentialBackoff

from conformance.clients.engines import EngineMissing
from conformance.missing import skip_unless_ci
from conformance.s3 import S3Server
from conformance.s3.network import Network
from registry.storage import s3_reading


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Return a real S3 server; the tests share it, each below a prefix of its own."""
    server = S3Server()
    try:
        server.__enter__()
    except EngineMissing as exc:
        skip_unless_ci(str(exc))
    yield server
    server.__exit__()


@pytest.fixture
async def network(s3_server: S3Server, anyio_backend: str) -> AsyncIterator[Network]:
    """Return a way to the S3 server that can be made to fail."""
    async with Network(s3_server.port) as network:
        yield network


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tries follow each other at once: how many there are is tested, not how long they take."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    monkeypatch.setattr(s3_reading, "_PAUSE_SECONDS", 0)
