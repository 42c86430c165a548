import gzip

import httpx
import pytest
import zstandard

from builder.errors import BaseImageError
from builder.network.content_encoding import refuse_encodings
from builder.oci.reference import parse_reference
from builder.oci.remote import RemoteRegistry

pytestmark = pytest.mark.anyio


def client(answer: httpx.Response) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: answer),
        event_hooks={"response": [refuse_encodings]},
    )


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip", "gzip,zstd"])
async def test_an_encoding_that_unpacks_without_bound_is_refused_unread(encoding: str) -> None:
    bomb = zstandard.compress(bytes(64 * 1024 * 1024))
    stream = httpx.ByteStream(bomb)
    answer = httpx.Response(200, headers={"Content-Encoding": encoding}, stream=stream)
    async with client(answer) as http:
        with pytest.raises(httpx.DecodingError, match="which was not asked for"):
            await http.get("http://host/blob")


async def test_gzip_is_undone_as_servers_may_send_it() -> None:
    stream = httpx.ByteStream(gzip.compress(b"content"))
    answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=stream)
    async with client(answer) as http:
        assert (await http.get("http://host/blob")).content == b"content"


async def test_an_answer_that_is_too_long_for_a_token_is_none() -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="https://host/token"'}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, content=b'{"token": "' + b"a" * 1024**2 + b'"}')
        return httpx.Response(401, headers=challenge)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(BaseImageError, match="something else than a token"):
            await RemoteRegistry(http).digest(parse_reference("host/base:1"))


async def test_a_config_that_is_too_long_is_not_read_to_its_end() -> None:
    answer = httpx.Response(200, content=bytes(2000))
    async with client(answer) as http:
        reference = parse_reference(f"host/base@sha256:{'0' * 64}")
        with pytest.raises(BaseImageError, match="its config is larger than the 1000 bytes"):
            async for _ in RemoteRegistry(http).stream(reference, "blobs", 1000):
                pass
