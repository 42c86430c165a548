import asyncio
import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from builder.errors import NoChannel
from builder.fetch.channel_credentials import ChannelCredentials, read_credentials
from builder.solve import Solver
from builder.spec import Channel

BEARER = {"BearerToken": "s3cret"}
BASIC = {"BasicHTTP": {"username": "ada", "password": "s3cret:+/"}}
TOKEN = {"CondaToken": "s3cret"}


def written(directory: Path, entries: object) -> Path:
    path = directory / 'creden"tials.json'
    path.write_text(json.dumps(entries))
    return path


def sent(credentials: ChannelCredentials, url: str) -> list[tuple[str, str | None]]:
    """Return address and authorization of each request, where `/away` leads to another host."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((str(request.url), request.headers.get("authorization")))
        if request.url.path.endswith("/away"):
            return httpx.Response(302, headers={"location": "https://store.test/x?signature=1"})
        return httpx.Response(404)

    with httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True) as http:
        http.get(url, auth=credentials)
    return seen


@pytest.mark.parametrize(
    ("entry", "url", "authorization"),
    [
        (BEARER, "https://conda.test/acme/away", "Bearer s3cret"),
        (BASIC, "https://conda.test/acme/away", "Basic YWRhOnMzY3JldDorLw=="),
        (TOKEN, "https://conda.test/t/s3cret/acme/away", None),
    ],
)
def test_a_host_is_sent_what_it_asks_for_and_where_it_sends_to_nothing(
    tmp_path: Path, entry: object, url: str, authorization: str | None
) -> None:
    credentials = read_credentials(written(tmp_path, {"conda.test": entry}))
    assert sent(credentials, "https://conda.test/acme/away") == [
        (url, authorization),
        ("https://store.test/x?signature=1", None),
    ]
    assert sent(credentials, "https://other.test/acme") == [("https://other.test/acme", None)]


@pytest.mark.parametrize("entry", [BEARER, BASIC, TOKEN])
def test_an_error_of_a_request_has_no_secret(tmp_path: Path, entry: object) -> None:
    credentials = read_credentials(written(tmp_path, {"conda.test": entry}))
    answer = httpx.MockTransport(lambda _: httpx.Response(401))
    with httpx.Client(transport=answer) as http, pytest.raises(httpx.HTTPStatusError) as error:
        http.get("https://conda.test/acme/a%21b", auth=credentials).raise_for_status()
    assert "s3cret" not in "".join(traceback.format_exception(error.value))
    assert "https://conda.test/acme/a%21b" in str(error.value)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("prefix.dev", "*.prefix.dev"),
        ("repo.prefix.dev", "*.prefix.dev"),
        ("a.b.example.com", "*.b.example.com"),
        ("b.example.com", "b.example.com"),
        ("notprefix.dev", None),
        ("example.com", None),
    ],
)
def test_hosts_are_found_as_rattler_finds_them(tmp_path: Path, host: str, key: str | None) -> None:
    keys = ["*.prefix.dev", "*.b.example.com", "b.example.com"]
    file = written(tmp_path, {key: {"BearerToken": key.replace("*", "any")} for key in keys})
    credentials = read_credentials(file)
    ((_, authorization),) = sent(credentials, f"https://{host}/acme")
    assert authorization == (f"Bearer {key.replace('*', 'any')}" if key else None)
    assert credentials.knows(host) == (key is not None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"is not JSON \(line 1\)"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object with hosts as keys"),
        ('{"https://a.test": {"BearerToken": "s3cret"}}', "entry 'https://a.test': write a host"),
        ('{"a.test:80": {"BearerToken": "s3cret"}}', "entry 'a.test:80': .* without scheme, port"),
        ('{"A.test": {"BearerToken": "s3cret"}}', "entry 'A.test': .* in lower case"),
        ('{"a.test": "s3cret"}', "entry 'a.test': write one of BearerToken, BasicHTTP and"),
        ('{"a.test": {"BearerToken": 1}}', "'a.test': BearerToken needs the token as text"),
        ('{"a.test": {"BearerToken": "s3cret\\n"}}', "BearerToken needs .* without blanks"),
        ('{"a.test": {"CondaToken": "a/s3cret"}}', "CondaToken needs .* and slashes"),
        ('{"a.test": {"BasicHTTP": {"username": "s3cret"}}}', "needs 'username' and 'password'"),
        ('{"a.test": {"OAuth": {"access_token": "s3cret"}}}', "'OAuth' is not known here"),
    ],
)
def test_a_file_that_has_no_meaning_is_told_with_its_entry_and_without_secrets(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        read_credentials(path)
    assert f"the file {path} of PULLFORGE_CHANNEL_CREDENTIALS" in str(error.value)
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_credentials(tmp_path / "missing.json")


@contextmanager
def serving() -> Iterator[tuple[str, list[str | None]]]:
    """Give the address of a channel that refuses everybody, and what it was sent."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("authorization"))
            self.send_response(401)
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - as the standard library calls it

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/acme", seen
        server.shutdown()
        thread.join()


def refusal(directory: Path, url: str, credentials: ChannelCredentials) -> str:
    """Return what is said of a channel that refuses everybody."""

    async def ask() -> None:
        solver = Solver(directory / "cache", max_retries=0, credentials=credentials)
        try:
            await solver.known_names([Channel("acme", url)], ["linux-64"])
        finally:
            await solver.close()

    with pytest.raises(NoChannel) as error:
        asyncio.run(ask())
    assert not error.value.transient
    return error.value.message


@pytest.mark.parametrize("with_file", [False, True])
def test_nothing_is_sent_that_lies_about_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_file: bool
) -> None:
    """rattler's default client sends these: somebody's own, of a shell or a home directory."""
    (tmp_path / ".rattler").mkdir()
    known = written(tmp_path / ".rattler", {"127.0.0.1": BEARER})
    known = known.rename(known.with_name("credentials.json"))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password s3cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("RATTLER_AUTH_FILE", str(known))
    file = written(tmp_path, {"other.test": BEARER}) if with_file else None
    with serving() as (url, seen):
        message = refusal(tmp_path, url, read_credentials(file))
    assert set(seen) == {None}
    # Both directories are asked for at once, and the first answer is told.
    assert message.replace("linux-64", "noarch") == (
        "channel 'acme' cannot be used: it answers 401 Unauthorized for noarch/, which is not"
        " there or is private: correct the address, or give credentials for its host in"
        " PULLFORGE_CHANNEL_CREDENTIALS"
    )


def test_credentials_that_are_refused_are_told_with_where_they_are(tmp_path: Path) -> None:
    credentials = read_credentials(written(tmp_path, {"127.0.0.1": BEARER}))
    with serving() as (url, seen):
        message = refusal(tmp_path, url, credentials)
    assert set(seen) == {"Bearer s3cret"}
    assert message == (
        "channel 'acme' refuses the credentials that PULLFORGE_CHANNEL_CREDENTIALS has for its"
        " host (401 Unauthorized): correct them, or the channel's address"
    )
