from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.s3 import S3Server
from registry.storage.s3 import S3Store
from tests.contracts.store import StoreContract
from tests.registry.storage.s3_stores import open_store


@pytest.fixture
async def store(s3_server: S3Server, tmp_path: Path, anyio_backend: str) -> AsyncIterator[S3Store]:
    async with open_store(s3_server, tmp_path) as store:
        yield store


class TestS3Store(StoreContract):
    """The contract of all stores."""
