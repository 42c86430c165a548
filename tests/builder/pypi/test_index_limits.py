"""What an index of PyPI packages sends that is too much: one sentence, and nothing left."""

import asyncio
from collections.abc import Iterable
from itertools import chain, repeat
from pathlib import Path

import pytest

from builder.errors import IndexUnavailable
from builder.network.index_limits import IndexLimits, used_bytes
from builder.pypi import Uv
from tests.builder.hostile_channel import MIB, hostile_channel

PLAIN = {"UV_HTTP_RETRIES": "0"}


def endless() -> Iterable[bytes]:
    return chain([b"<html><body>"], repeat(b"<a>six</a>" * 100_000))


def test_an_index_that_sends_too_much_ends_uv_and_not_the_server(tmp_path: Path) -> None:
    (tmp_path / "wanted.in").write_text("six")
    limits = IndexLimits(16 * MIB, 64 * MIB, 256 * MIB)

    async def ask(url: str) -> None:
        uv = Uv(url, tmp_path / "cache", environment=PLAIN, timeout_seconds=60, limits=limits)
        await uv.compile(["wanted.in"], tmp_path)

    with (
        hostile_channel({"simple/six": endless}) as url,
        pytest.raises(
            IndexUnavailable, match=r"cannot be used: what it says .* PULLFORGE_"
        ) as said,
    ):
        asyncio.run(ask(f"{url}/simple"))

    assert "more than PULLFORGE_INDEX_MEMORY_BYTES allows" in said.value.message
    assert used_bytes(tmp_path) < 64 * MIB
