"""Opening stores in buckets of the test server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from conformance.s3 import BUCKET, S3Server
from conformance.s3.server import ACCESS_KEY, REGION, SECRET_KEY
from registry.storage.local_copies import LocalCopies
from registry.storage.location import S3Location
from registry.storage.s3 import S3Store, open_s3_store
from registry.storage.s3_client import S3Access, open_client


def new_location(bucket: str = BUCKET) -> S3Location:
    """Return a place that nobody else uses."""
    return S3Location(bucket, f"{secrets.token_hex(4)}/")


def access_to(url: str) -> S3Access:
    return S3Access(url, REGION, ACCESS_KEY, SECRET_KEY)


@asynccontextmanager
async def open_store(
    server: S3Server, directory: Path, location: S3Location | None = None, url: str = ""
) -> AsyncIterator[S3Store]:
    """Give a store; ``url`` is that of a proxy in front of the server."""
    async with (
        open_client(access_to(url or server.url)) as client,
        open_s3_store(
            client, location or new_location(), LocalCopies(directory / "copies")
        ) as store,
    ):
        yield store
