"""Servers that cannot do it, or are none: one sentence, whatever is asked for."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
import trustme

from registry.cli.api import Api, Refused, Unreachable
from registry.cli.remote import RemoteError
from tests.registry.cli.servers import Person, answering

COMMANDS = [
    ["env", "create", "FILE", "--to", "ada/x"],
    ["env", "create", "--to", "ada/x"],
    ["env", "list"],
    ["env", "list", "ada"],
    ["env", "show", "ada/x"],
    ["env", "show", "ada/x:v1"],
    ["env", "update", "ada/x", "FILE"],
    ["env", "update", "ada/x", "--renew"],
    ["env", "update", "ada/x", "--description=x"],
    ["env", "versions", "ada/x"],
    ["env", "packages", "ada/x:v1"],
    ["env", "layers", "ada/x"],
    ["env", "having", "numpy"],
    ["env", "activate", "ada/x:v1"],
    ["env", "diff", "ada/x", "1"],
    ["env", "copy", "ada/x", "ada/y"],
    ["env", "move", "ada/x", "ada/y"],
    ["env", "wait", "ada/x"],
    ["env", "log", "ada/x"],
    ["env", "run", "ada/x", "true"],
    ["env", "run", "ada/x:2026-01-01", "true"],
    ["env", "run", f"ada/x:{'0' * 32}", "true"],
    ["env", "cancel", "ada/x"],
    ["env", "delete", "ada/x"],
    ["env", "restore", "ada/x"],
    ["env", "access", "ada/x"],
    ["namespace", "create", "ada"],
    ["namespace", "list"],
    ["namespace", "show", "ada"],
    ["namespace", "update", "ada", "--name=x"],
    ["namespace", "delete", "ada"],
    ["namespace", "restore", "ada"],
    ["grant", "add", "ada", "viewer", "--everyone"],
    ["grant", "list", "ada"],
    ["grant", "remove", "ada", "1"],
    ["token", "create", "ci"],
    ["token", "list"],
    ["token", "revoke", "ci"],
    ["token", "revoke", "7"],
]


#: Those that take any answer that is no error for "done".
CONTENT = [["env", "delete"], ["namespace", "delete"], ["grant", "remove"], ["token", "revoke"]]


def everywhere(person: Person, host: str, code: int | None = 1) -> Iterator[tuple[list[str], str]]:
    """Run every command at a host; give what it says."""
    (person.home / "x.yml").write_text("dependencies: [tool]\n")
    for command in COMMANDS:
        arguments = [str(person.home / "x.yml") if one == "FILE" else one for one in command]
        arguments[2:2] = ["--server", host]
        yield command, person(*arguments, code=code).stderr


@pytest.fixture
def somebody(tmp_path: Path) -> Person:
    return Person("somebody", tmp_path)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.cli.following._AWAY_SECONDS", 0)
    monkeypatch.setattr("registry.cli.download._RETRY_SECONDS", 0)


def test_a_server_that_is_not_there_is_one_sentence(somebody: Person) -> None:
    for command, said in everywhere(somebody, "127.0.0.1:1"):
        assert said.startswith("pullforge: http://127.0.0.1:1 does not answer: "), command
        assert said.count("\n") == 1


@pytest.mark.parametrize("status", [401, 403, 404, 409, 412, 422, 429, 500, 503])
def test_what_the_server_refuses_is_its_own_sentence(somebody: Person, status: int) -> None:
    error = {"error": {"code": "WHATEVER", "message": "this [cannot]\x1b[2J be", "field": None}}
    with answering(status, json.dumps(error).encode()) as host:
        for command, said in everywhere(somebody, host):
            assert said.startswith("pullforge: this [cannot][2J be"), (command, said)
            assert said.count("\n") == 1
            assert (f"pullforge login {host}" in said) == (status == 401)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>hello</html>"),
        (302, b""),
        (404, b"<html>not found</html>"),
        (502, b"Bad Gateway"),
        (500, b'{"error": "no"}'),
        (503, b"[]"),
        (200, b"[" * 100_000),
    ],
)
def test_a_server_that_is_no_pullforge_is_told(somebody: Person, status: int, body: bytes) -> None:
    with answering(status, body, "text/html") as host:
        for command, said in everywhere(somebody, host, code=None):
            if status != 200 or command[:2] not in CONTENT:
                assert "it is no pullforge server" in said, (command, said)
                assert said.count("\n") == 1


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"items": 3, "next": None},
        {"items": [1], "next": None},
        {"items": [{}], "next": None},
        {
            "version": 1,
            "number": "x",
            "state": [],
            "links": 2,
            "packages": [],
            "next": None,
            "key": "../..",
            "message": 3,
            "items": [{"number": {}}],
            "may": 1,
            "path": {},
        },
    ],
)
def test_documents_of_another_shape_are_told(somebody: Person, document: dict[str, object]) -> None:
    with answering(200, json.dumps(document).encode()) as host:
        for command, said in everywhere(somebody, host, code=None):
            assert said.count("\n") <= 1, command


def test_certificates_of_nobody_are_told(somebody: Person) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        said = somebody("env", "list", "--server", f"https://127.0.0.1:{port}", code=1).stderr
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert "does not answer" in said
    assert "certificate" in said.lower()
    assert said.count("\n") == 1


@pytest.mark.parametrize("host", ["http://[", "https://a b", "x:y:z", "http://"])
def test_what_is_no_host_is_told(somebody: Person, host: str) -> None:
    said = somebody("env", "list", "--server", host, code=1).stderr
    assert said.startswith("pullforge: ")
    assert said.count("\n") == 1


def test_a_netrc_that_cannot_be_read_is_told(somebody: Person) -> None:
    (somebody.home / ".netrc").write_text("what is this")
    assert (
        "~/.netrc cannot be read"
        in somebody("env", "list", "--server", "127.0.0.1:1", code=1).stderr
    )


def sent(answer: Callable[[httpx.Request], httpx.Response], method: str = "POST") -> httpx.Response:
    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            return await Api(http, "http://host").send(method, "things", body={"a": 1})

    return asyncio.run(scenario())


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.cli.api._PAUSE_SECONDS", 0)


@pytest.mark.usefixtures("_soon")
def test_a_request_whose_answer_is_lost_is_sent_again_as_the_same() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) < 3:
            raise httpx.ReadError("gone")
        return httpx.Response(200, json={})

    assert sent(answer).status_code == 200
    assert len(keys) == 3
    assert len(set(keys)) == 1


@pytest.mark.usefixtures("_soon")
def test_what_does_harm_when_it_is_repeated_is_sent_once() -> None:
    count = 0

    def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        raise httpx.ReadError("gone")

    for method, times in (("DELETE", 1), ("PATCH", 1), ("GET", 3)):
        count = 0
        with pytest.raises(Unreachable, match="gone"):
            sent(answer, method)
        assert count == times


@pytest.mark.usefixtures("_soon")
def test_what_is_still_being_made_is_waited_for_and_what_is_refused_is_not() -> None:
    left = ["STILL_BUILDING", "STILL_BUILDING", ""]

    def answer(_request: httpx.Request) -> httpx.Response:
        code = left.pop(0)
        error = {"code": code, "message": "wait"}
        return httpx.Response(503, json={"error": error}) if code else httpx.Response(200, json={})

    assert sent(answer, "GET").status_code == 200
    left[:] = ["DATABASE_UNAVAILABLE", ""]
    with pytest.raises(Refused, match="wait") as refused:
        sent(answer, "GET")
    assert refused.value.status == 503


def test_a_list_that_never_ends_is_left() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [{"a": 1}], "next": "again"})

    async def scenario() -> int:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            found = await Api(http, "http://host").all("things")
            with pytest.raises(RemoteError, match="no 'other'"):
                found["other"]
            return len(found.objects("items"))

    assert asyncio.run(scenario()) == 2


def test_a_server_that_speaks_no_tls_is_told_so(tmp_path: Path) -> None:
    person = Person("nobody", tmp_path)
    with answering(200, b"{}") as host:
        for told in (
            person("env", "list", "--server", f"https://{host}", code=1),
            person("login", f"https://{host}", code=1),
        ):
            assert told.stderr == f"pullforge: https://{host} speaks no TLS: write http://{host}\n"
