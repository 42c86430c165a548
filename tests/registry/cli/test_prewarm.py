import asyncio

import httpx
import pytest

from registry.cli.prewarm import warm
from registry.cli.remote import RemoteError


def answers(*replies: httpx.Response) -> tuple[httpx.AsyncClient, list[str]]:
    left, asked = list(replies), []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return left.pop(0)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer)), asked


def test_an_image_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.cli.prewarm._RETRY_SECONDS", 0)
    http, asked = answers(
        httpx.Response(307, headers={"location": "latest?wait=1"}),
        httpx.Response(429),
        httpx.Response(200),
    )
    asyncio.run(warm(http, "http://host", "env/numpy"))
    url = "http://host/v2/env/numpy/manifests/latest"
    assert asked == [url, f"{url}?wait=1", url]


def test_what_the_server_says_of_an_image_it_cannot_make_is_the_error() -> None:
    body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no package 'nunpy'"}]}
    http, asked = answers(httpx.Response(404, json=body))
    with pytest.raises(RemoteError, match="no package 'nunpy'"):
        asyncio.run(warm(http, "http://host", "env/nunpy:py3.12"))
    assert asked == ["http://host/v2/env/nunpy/manifests/py3.12"]


def test_another_server_is_told_apart() -> None:
    http, _ = answers(httpx.Response(502, text="bad gateway"))
    with pytest.raises(RemoteError, match="answered 502: it is no pullforge server"):
        asyncio.run(warm(http, "http://host", "env/numpy"))
