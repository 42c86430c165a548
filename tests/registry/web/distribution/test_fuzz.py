"""Whatever is sent, the server answers as the protocol has it, and writes nowhere but its store."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from registry.storage.filesystem import FilesystemStore
from tests.registry.asgi import open_client
from tests.registry.fakes import FakeService
from tests.registry.pushing import push_blob
from tests.registry.web.distribution.requests import Request, assert_sane, requests, send

#: How many lists of up to ten requests, and how many are in one, or more; conformance sends 2500.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
REQUESTS_PER_EXAMPLE = 4


def files_outside(root: Path) -> set[Path]:
    return {path for path in root.iterdir() if path.name != "in"}


async def answer_all(sent: list[Request], root: Path) -> None:
    store = FilesystemStore(root / "in" / "store")
    scratch = root / "in" / "scratch"
    scratch.mkdir(exist_ok=True)
    house = FakeService(store, scratch)
    try:
        async with open_client(house.app(access_log=False)) as client:
            await push_blob(client, "team/app", b"{}")
            upload = (await client.post("/v2/team/app/blobs/uploads/")).headers["location"]
            for request in sent:
                reply = await send(client, request, upload)
                assert_sane(reply, request)
                if reply.status == 202 and "docker-upload-uuid" in reply.headers:
                    upload = reply.headers["location"]
            assert list(scratch.iterdir()) == []
    finally:
        house.uploads.close()
        store.close()


@pytest.mark.timeout(1800)
def test_no_request_makes_the_server_fail(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    number = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(sent=requests)
    def answers_all(sent: list[Request]) -> None:
        nonlocal number
        number += len(sent)
        asyncio.run(answer_all(sent, tmp_path))
        assert files_outside(tmp_path) == set()

    answers_all()
    assert number >= EXAMPLES * REQUESTS_PER_EXAMPLE
