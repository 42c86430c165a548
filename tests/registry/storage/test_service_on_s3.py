"""The whole service with everything in S3."""

import asyncio
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from conformance.s3 import BUCKET, S3Server
from conformance.s3.server import ACCESS_KEY, REGION, SECRET_KEY
from registry.content.manifests import Manifest
from registry.maintenance.collect import collect
from registry.maintenance.eviction import Budget
from registry.settings import Settings
from registry.web.services import Services
from registry.wiring.services import open_services
from registry.wiring.stores import open_store
from tests.registry import pulling
from tests.registry.storage.s3_stores import new_location
from tests.tiny_channel import write_tiny_channel

pytestmark = pytest.mark.anyio


async def pull(services: Services) -> Manifest:
    return await pulling.pull(services, "env/tool", "bare")


async def layers_in(settings: Settings) -> int:
    """Return how many blobs in the bucket are layers: what zstd has compressed."""
    async with open_store(settings, settings.store) as store:
        keys = [entry.key async for entry in store.entries("blobs/")]
        heads = [await store.read(key) or b"" for key in keys]
    return sum(head.startswith(b"\x28\xb5\x2f\xfd") for head in heads)


async def test_what_is_evicted_from_a_bucket_is_made_again_with_the_same_digest(
    s3_server: S3Server, tmp_path: Path
) -> None:
    channel = await asyncio.to_thread(write_tiny_channel, tmp_path / "channel")
    settings = Settings(
        store=f"s3://{BUCKET}/{new_location().prefix}",
        scratch=tmp_path / "scratch",
        s3_endpoint=s3_server.url,
        s3_region=REGION,
        s3_access_key_id=SecretStr(ACCESS_KEY),
        s3_secret_access_key=SecretStr(SECRET_KEY),
        channels={"main": f"file://{channel}"},
        default_channels=["main"],
        workers=1,
    )
    async with open_services(settings) as services:
        first = await pull(services)
    assert await layers_in(settings) > 0
    async with open_store(settings, settings.store) as store:
        await collect(store, Budget(size_bytes=0), time.time() + 86_400)
    assert await layers_in(settings) == 0
    async with open_services(settings) as services:
        assert await pull(services) == first
    assert await layers_in(settings) > 0
