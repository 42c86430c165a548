"""Specification, policies and index decide a lock, whoever solves; keys know no policy."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server
from conformance.policy.channels import COPYLEFT, MAIN, SPECIAL, YOUNG, make_channels
from conformance.policy.company import pulled_by_anybody
from conformance.workers.server import ServerWithWorker

POLICY: Final = """\
[age]
minimum = "7 days"

[licences]
denied = ["GPL-3.0-*"]

[packages]
required = [{ spec = "tzdata", if = "python" }]
default = ["pip"]
"""
#: It says more, and of these environments the same.
OTHER_POLICY: Final = POLICY.replace('"7 days"', '"8 days"') + 'denied = ["left-pad"]\n'
#: What solves: the server itself, or a worker of its.
SOLVERS: Final[dict[str, type[Server]]] = {"server": Server, "worker": ServerWithWorker}
NAMES: Final = (
    f"env/python.{YOUNG}:latest",
    "env/numpy:latest",
    "env/python.requests.rich:py3.12",
    "env/jinja2:bare",
)

pytestmark = pytest.mark.engine("redis")


@dataclass
class Parts:
    """What servers are made of."""

    home: Path
    base: Path
    url: str
    stack: ExitStack

    def start(self, name: str, policy: str = "", kind: type[Server] = Server) -> Server:
        """Start a server with a store and a policy of its own."""
        policies = self.home / f"{name}-policies"
        policies.mkdir()
        if policy:
            (policies / "company.toml").write_text(policy, encoding="utf-8")
        settings = {
            "channels": {channel: f"{self.url}/{channel}" for channel in (MAIN, SPECIAL)},
            "default_channels": [MAIN, SPECIAL],
            "policies": policies,
        }
        server = kind(self.home / name, self.url, self.base, settings)
        return self.stack.enter_context(server)


@pytest.fixture(scope="module")
def parts(paths: ChannelPaths) -> Iterator[Parts]:
    """Make the channels; all servers are stopped after the module."""
    home = Path(tempfile.mkdtemp(prefix="pf-determinism-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        make_channels(paths, home / "channels")
        channels = stack.enter_context(ChannelServer(home / "channels"))
        yield Parts(home, paths.base, channels.url, stack)


@pytest.fixture(scope="module")
def first(parts: Parts) -> Server:
    """Return the server that all others are compared with."""
    return parts.start("first", POLICY)


def keys_of(server: Server) -> dict[str, tuple[str, str]]:
    """Return the key of each name's build, and the digest of its image."""
    found = {}
    for name in NAMES:
        answer = pulled_by_anybody(server, name)
        assert answer.status_code == 200, f"{name}: {answer.text}"
        headers = answer.headers
        found[name] = (headers["pullforge-build"], headers["docker-content-digest"])
    return found


def lock_of(server: Server, key: str) -> str:
    """Return the lock of a build."""
    return httpx.get(f"{server.url}/api/v1/builds/{key}/lock", timeout=60).raise_for_status().text


@pytest.mark.parametrize("who", SOLVERS)
def test_whoever_solves_comes_to_the_same_lock(parts: Parts, first: Server, who: str) -> None:
    """Two servers with nothing in common but policy and channels; one has a worker do it."""
    other = parts.start(f"other-{who}", POLICY, SOLVERS[who])
    found = keys_of(other)
    assert found == keys_of(first)
    for key, _ in found.values():
        assert lock_of(other, key) == lock_of(first, key)


def test_a_policy_that_comes_to_the_same_packages_comes_to_the_same_key(
    parts: Parts, first: Server
) -> None:
    """Nothing of a policy is in a lock, neither its text nor its day."""
    other = parts.start("other-policy", OTHER_POLICY)
    found = keys_of(other)
    assert found == keys_of(first)
    for key, _ in found.values():
        assert "company" not in lock_of(other, key)


def test_a_server_without_policy_makes_the_same_of_the_lock(parts: Parts, first: Server) -> None:
    """The lock is all that a build is made of."""
    bare = parts.start("bare")
    for key, digest in keys_of(first).values():
        sent = httpx.post(
            f"{bare.url}/api/v1/builds",
            content=lock_of(first, key).encode(),
            headers={"prefer": "wait=25"},
            timeout=120,
        )
        assert sent.is_success, sent.text
        answer = pulled_by_anybody(bare, f"build/{key}:latest")
        assert answer.status_code == 200, answer.text
        assert answer.headers["docker-content-digest"] == digest
    free = {name: key for name, (key, _) in keys_of(bare).items()}
    assert free[NAMES[0]] != keys_of(first)[NAMES[0]][0], "without it, the newest is taken"
    assert pulled_by_anybody(bare, f"env/{COPYLEFT}:latest").status_code == 200
