"""Where everything is kept."""

from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    closing,
)
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builder.ports import Store
from registry.content.files import StoreLinks
from registry.settings import Settings
from registry.storage.filesystem import FilesystemStore
from registry.storage.local_copies import LocalCopies
from registry.storage.location import parse_location

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


#: For scratch files where the store is not on this machine.
_CACHE: Final = Path("~/.cache/pullforge/scratch")


@asynccontextmanager
async def open_store(settings: Settings, place: str) -> AsyncIterator[Store]:
    """Give the store at ``place``, a directory or ``s3://BUCKET/PREFIX``, until the exit.

    Raises:
        StoreUnavailable: It cannot be used.
        ValueError: ``place`` is neither.
    """
    location = parse_location(place)
    if isinstance(location, Path):
        with closing(FilesystemStore(location)) as files:
            yield files
        return
    # The SDK takes half a second to import, which a store on disk need not wait for.
    from registry.storage.s3 import open_s3_store  # noqa: PLC0415

    copies = LocalCopies(scratch_of(settings) / "copies")
    async with (
        _s3_client(settings, settings.s3_endpoint) as client,
        open_s3_store(client, location, copies) as objects,
    ):
        yield objects


@asynccontextmanager
async def open_links(settings: Settings) -> AsyncIterator[StoreLinks | None]:
    """Give what sends clients to the store itself, or ``None`` if bytes go through this server."""
    location = parse_location(settings.store)
    if isinstance(location, Path) or not settings.redirect_blobs:
        yield None
        return
    from registry.storage.s3_links import S3Links  # noqa: PLC0415

    endpoint = settings.s3_public_endpoint or settings.s3_endpoint
    async with _s3_client(settings, endpoint) as client:
        yield S3Links(client, location, lifetime_seconds=settings.s3_link_seconds)


def scratch_of(settings: Settings) -> Path:
    """Return the directory for what may be lost; it may still have to be made."""
    location = parse_location(settings.store)
    beside = location / ".scratch" if isinstance(location, Path) else _CACHE.expanduser()
    return settings.scratch or beside


def _s3_client(settings: Settings, endpoint: str | None) -> "AbstractAsyncContextManager[S3Client]":
    from registry.storage.s3_client import S3Access, open_client  # noqa: PLC0415

    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    access = S3Access(
        endpoint,
        settings.s3_region,
        key.get_secret_value() if key else None,
        secret.get_secret_value() if secret else None,
    )
    return open_client(access)
