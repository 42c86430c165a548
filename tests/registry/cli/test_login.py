"""The command's end of a login; ``tests/registry/web/login`` has the server's."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pytest
from typer.testing import CliRunner

from registry.cli import app
from registry.cli.login import by_device, by_password
from registry.cli.profile import Profile, load, save
from registry.cli.remote import RemoteError

pytestmark = pytest.mark.anyio

SERVER = "https://registry.example"
TOKEN = "pft_" + "x" * 43
BEGUN = {
    "device_code": "secret",
    "user_code": "BCDF-GHJK",
    "verification_uri": f"{SERVER}/login/device",
    "expires_in": 600,
    "interval": 5,
}


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def server_of(*answers: tuple[int, object] | Exception) -> httpx.AsyncClient:
    """Return a client of a server that begins a login, and answers these when it is asked."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/login/device":
            return httpx.Response(200, json=BEGUN)
        form = dict(parse_qsl(request.content.decode()))
        assert form["device_code"] == "secret"
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found[0], json=found[1])

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def problem(code: str) -> tuple[int, object]:
    return 400, {"error": code, "error_description": f"this is {code}"}


async def test_a_program_asks_until_somebody_has_confirmed() -> None:
    time, said = Time(), list[str]()
    done = (200, {"access_token": TOKEN, "token_type": "Bearer"})
    async with server_of(
        problem("authorization_pending"),
        problem("slow_down"),
        httpx.ReadTimeout("slow"),
        problem("authorization_pending"),
        done,
    ) as http:
        token = await by_device(http, SERVER, "x", said.append, sleep=time.sleep, clock=time)
    assert token == TOKEN
    assert time.slept == [5, 5, 10, 15, 15]
    assert said == [f"open {SERVER}/login/device in a browser, and confirm the code BCDF-GHJK"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (problem("access_denied"), "denied in the browser"),
        (problem("expired_token"), "in time"),
        (problem("authorization_pending"), "in time"),
        (problem("invalid_request"), "this is invalid_request"),
        ((503, {"error": "server_error", "error_description": "no\x1b[2J"}), r"no\[2J"),
        ((200, {"access_token": "with blank"}), "no token"),
        ((200, ["what"]), "no pullforge server"),
    ],
)
async def test_a_login_that_comes_to_nothing_is_one_sentence(
    answer: tuple[int, object], words: str
) -> None:
    time = Time()
    async with server_of(answer) as http:
        with pytest.raises(RemoteError, match=words):
            await by_device(http, SERVER, "x", lambda _: None, sleep=time.sleep, clock=time)
    assert time.seconds <= 600


def replying(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def test_a_password_is_sent_once_for_a_token() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/tokens"
        assert request.headers["authorization"].startswith("Basic ")
        assert json.loads(request.content)["name"].startswith("pullforge")
        return httpx.Response(201, json={"id": 7, "secret": TOKEN})

    async with replying(answer) as http:
        assert await by_password(http, SERVER, "ada", "correct horse") == TOKEN


async def test_a_wrong_password_is_told_in_the_servers_words() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"code": "X", "message": "it is wrong"}})

    async with replying(answer) as http:
        with pytest.raises(RemoteError, match="it is wrong"):
            await by_password(http, SERVER, "ada", "x")


async def test_a_server_that_is_none_is_told() -> None:
    async with replying(lambda _: httpx.Response(404, text="<html>")) as http:
        with pytest.raises(RemoteError, match="no pullforge server"):
            await by_device(http, SERVER, "x", lambda _: None)
        with pytest.raises(RemoteError, match="no pullforge server"):
            await by_password(http, SERVER, "a", "b")


def test_logging_out_forgets_the_token_also_where_the_server_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    save(Profile("http://127.0.0.1:1", TOKEN))
    result = CliRunner().invoke(app, ["logout"])
    assert result.exit_code == 0
    assert "did not revoke it" in result.stderr
    assert load("127.0.0.1:1").token is None
    assert CliRunner().invoke(app, ["logout"]).exit_code == 1


def test_a_server_that_does_not_answer_leaves_no_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["login", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "http://127.0.0.1:1 does not answer" in result.stderr
    arguments = ["login", "127.0.0.1:1", "--user", "ada", "--password-stdin"]
    assert CliRunner().invoke(app, arguments, input="secret\n").exit_code == 1
    assert CliRunner().invoke(app, ["login", "h", "--password-stdin"]).exit_code == 2
    assert not list(tmp_path.iterdir())
