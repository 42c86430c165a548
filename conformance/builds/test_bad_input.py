"""What cannot be built is refused within seconds, with its place, at nobody's cost."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.builds.sending import ENVIRONMENT, fetch_form, push, send
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server
from conformance.clients.trace import left_behind

#: What an answer may take, on a machine that is busy with other tests.
LONGEST_SECONDS = 30
SHA256 = "a" * 64

#: Files, with FORBIDDEN for the host that must not be asked, and what the refusal says.
FILES = {
    "broken YAML": ("dependencies:\n  - numpy\n  - [", "line 4"),
    "a text": ("numpy pandas", "environment.yml"),
    "an unknown channel": ("channels: [defaults]\ndependencies: [numpy]", "'defaults'"),
    "a channel elsewhere": ("channels: ['http://FORBIDDEN']\ndependencies: [numpy]", "FORBIDDEN"),
    "a channel in files": ("channels: ['file:///etc']\ndependencies: [numpy]", "file:///etc"),
    "a channel of the cloud": (
        "channels: ['http://169.254.169.254/latest']\ndependencies: [numpy]",
        "169.254.169.254",
    ),
    "a package elsewhere": ("dependencies: ['http://FORBIDDEN/::numpy']", "dependencies[0]"),
    "a spec that is none": ("dependencies:\n  - 'numpy >=1.26,<'", "line 2"),
    "a wheel elsewhere": (
        "dependencies:\n  - pip:\n    - six @ http://FORBIDDEN/six-1-py3-none-any.whl",
        "line 3",
    ),
    "another index": (
        "dependencies:\n  - pip:\n    - --index-url http://FORBIDDEN/simple\n    - six",
        "line 3",
    ),
    "version control": ("dependencies: [{pip: ['git+http://FORBIDDEN/x.git']}]", "pip[0]"),
    "another base": ('{"specs": ["numpy"], "base": "FORBIDDEN/debian:12"}', "base"),
    "a list from elsewhere": (
        f"@EXPLICIT\nhttp://FORBIDDEN/linux-64/numpy-1-0.conda#sha256:{SHA256}",
        "line 2",
    ),
    "a list of files": (f"@EXPLICIT\nfile:///etc/linux-64/a-1-0.conda#sha256:{SHA256}", "line 2"),
    "aliases that explode": (
        "a: &a [x, x]\n"
        + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "line 2",
    ),
    "twenty megabytes": ("dependencies:\n" + "  - numpy\n" * 2_000_000, ""),
}


@pytest.fixture(scope="module")
def forbidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChannelServer]:
    """Return a listener on the server's machine that it has no business with."""
    with ChannelServer(tmp_path_factory.mktemp("forbidden")) as listener:
        yield listener


@pytest.fixture(scope="module")
def locks(server: Server) -> dict[str, str]:
    """Return a build in each of the formats of locks."""
    build = push(server, ENVIRONMENT)
    return {form: fetch_form(server, build, form).decode() for form in ("lock", "pixi.lock")}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES)
def test_a_bad_file_is_refused(
    server: Server, forbidden: ChannelServer, text: str, said: str
) -> None:
    """With the line or the field, and no host that is not the server's is asked."""
    host = forbidden.url.removeprefix("http://")
    _refuse(server, forbidden, text.replace("FORBIDDEN", host), said.replace("FORBIDDEN", host))


@pytest.mark.parametrize("form", ["lock", "pixi.lock"])
@pytest.mark.parametrize("kind", ["conda", "wheel"])
@pytest.mark.parametrize("change", ["hash", "host", "file"])
def test_a_lock_that_was_changed_is_refused(
    server: Server,
    forbidden: ChannelServer,
    channel: ChannelServer,
    index: ChannelServer,
    locks: dict[str, str],
    form: str,
    kind: str,
    change: str,
) -> None:
    """A hash that is not the channel's or the index's, or an address elsewhere."""
    lines = locks[form].splitlines()
    origin = f"{channel.url}/" if kind == "conda" else f"{index.url}/"
    found = next(
        n for n, line in enumerate(lines) if origin in line and line.endswith((".conda", ".whl"))
    )
    if change == "hash":
        found = next(n for n in range(found, len(lines)) if "sha256: " in lines[n])
        lines[found] = f"{lines[found].partition('sha256: ')[0]}sha256: {SHA256}"
    else:
        new = f"{forbidden.url}/" if change == "host" else "file:///etc/"
        lines[found] = lines[found].replace(origin, new)
    _refuse(server, forbidden, "\n".join(lines), "")


def test_an_environment_that_cannot_be_is_refused_in_a_sentence(server: Server) -> None:
    """Only its status is kept, for those who ask what became of it."""
    before = server.files()
    answer = send(server, b"dependencies: [nunpy]")
    assert answer.status_code == 422, answer.text
    assert "did you mean 'numpy'" in answer.json()["error"]["message"]
    assert _left_behind(server, before) == []


def _refuse(server: Server, forbidden: ChannelServer, text: str, said: str) -> None:
    """Send a file and check what becomes of it: nothing."""
    before = server.files()
    start = time.monotonic()
    answer = send(server, text.encode())
    assert time.monotonic() - start < LONGEST_SECONDS
    assert 400 <= answer.status_code < 500, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert said in error["message"], error
    assert _left_behind(server, before) == []
    assert forbidden.requests() == {}


def _left_behind(server: Server, before: frozenset[str]) -> list[str]:
    """Return new files of the store, but for what is known of requests, which goes in an hour."""
    left = left_behind(before, server.files)
    return [path for path in left if not path.startswith(("requests/", "inputs/"))]
