"""Connections to S3, or to what speaks its protocol."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_CONNECT_SECONDS: Final = 3
#: The longest silence on a connection; a server may need a while to put many parts together.
_READ_SECONDS: Final = 20
#: Tries of one request, with growing pauses; what fails four times is down.
_TRIES: Final = 4
_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class S3Access:
    """How S3 is reached; what is ``None`` comes from the SDK's chain (environment, files, role)."""

    #: The address of the service, for example ``"http://minio:9000"``; ``None`` for Amazon's.
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)


@asynccontextmanager
async def open_client(access: S3Access) -> "AsyncIterator[S3Client]":
    """Give a client; its connections are closed on exit."""
    config = AioConfig(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        signature_version="s3v4",
        # Not every server knows the checksums that newer SDKs add; Content-MD5, which this store
        # sends with all it writes, is checked by every one.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # Servers of one's own seldom have a host name for each bucket.
        s3={"addressing_style": "path" if access.endpoint else "auto"},
    )
    async with get_session().create_client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.access_key_id,
        aws_secret_access_key=access.secret_access_key,
        config=config,
    ) as client:
        yield client
