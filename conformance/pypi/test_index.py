"""The real index beside the real channel: what is locked from which, and that it is there."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from builder.lock import Lock
from builder.platforms import Subdir
from conformance import channel, pypi
from conformance.channel.server import ChannelServer
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.wiring.building import Builder, open_builder

pytestmark = pytest.mark.anyio

TODAY = datetime.date(2026, 11, 1)


@pytest.fixture
def anyio_backend() -> str:
    """The loop of the server."""
    return "asyncio"


@pytest.fixture
async def builder(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Builder]:
    """A builder over the local channel and index."""
    paths = channel.ensure()
    with ChannelServer(pypi.ensure()) as index:
        settings = Settings.model_validate(
            {
                "store": str(tmp_path / "store"),
                "channels": {"conda-forge": paths.channel.as_uri()},
                "platforms": ["linux-64", "linux-aarch64"],
                **pypi.settings(index.url),
            }
        )
        async with open_builder(settings, Metrics()) as opened:
            yield opened


async def _lock(builder: Builder, name: str, tag: str) -> Lock:
    spec = await builder.resolver.spec(f"env/{name}", tag, builder.policy, TODAY)
    return await builder.resolver.lock(spec, lambda _: None)


@pytest.mark.timeout(600)
async def test_wheels_are_locked_beside_condas_numpy(builder: Builder) -> None:
    """For both platforms, each with its own wheels, and every wheel is what the lock says."""
    name = "numpy/pypi--contourpy/pypi--flask/pypi--orjson/pypi--pydantic/pypi--jmespath"
    lock = await _lock(builder, name, "2026-11-01-py3.11-bare")
    assert list(lock.platforms) == ["linux-64", "linux-aarch64"], lock.left_out
    machines: dict[Subdir, str] = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
    for platform, machine in machines.items():
        assert "numpy" in {record.name for record in lock.platforms[platform]}
        wheels = {wheel.name: wheel for wheel in lock.wheels[platform]}
        assert {"contourpy", "flask", "jinja2", "orjson", "pydantic-core"} <= wheels.keys()
        assert "numpy" not in wheels
        assert "numpy" in wheels["contourpy"].requires
        assert machine in wheels["orjson"].file_name
        async with httpx.AsyncClient() as client:
            for wheel in wheels.values():
                data = (await client.get(wheel.url)).content
                assert hashlib.sha256(data).hexdigest() == wheel.sha256
                assert len(data) == wheel.size_bytes


@pytest.mark.timeout(600)
async def test_a_date_is_a_date_for_both(builder: Builder) -> None:
    """Conda's packages and PyPI's are those of that day."""
    lock = await _lock(builder, "numpy/pypi--six", "2024-05-31-py3.11-bare")
    assert [wheel.version for wheel in lock.wheels["linux-64"]] == ["1.16.0"]
