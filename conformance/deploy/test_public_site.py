"""``deploy/public``, started for real: what one stranger can take from the others, and what not.

Clients are containers on the site's own network, each with an address. The site is measured from
this machine, as one more of them.
"""

import http.client
import json
import random
import re
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.clients.engines.program import run
from conformance.clients.images import ACCEPT, HEADERS, LARGE, SIMPLE
from conformance.clients.server import ROOT
from conformance.deploy.images import BuildingDocker, ServerImage
from conformance.deploy.programs import COMPOSE
from conformance.deploy.project import Project, deployed, overriding, started
from conformance.deploy.visitor import Answers, Visitor
from registry.policy.policy import read_policy
from registry.settings import Settings

PUBLIC: Final = ROOT / "deploy" / "public"
_NAMES: Final = 1000
#: How long the greedy one goes on, and how long what is at rest is measured.
_GREEDY_SECONDS: Final = 25.0
_IDLE_SECONDS: Final = 6.0
_PAUSE_SECONDS: Final = 0.02
#: What nginx answers by itself, and what the server answers from memory.
_STATIC: Final = "/robots.txt"
_WARM: Final = "/v2/env/numpy.pandas/manifests/latest"


@dataclass(frozen=True, slots=True)
class Site:
    """The site, and who comes to it."""

    project: Project
    #: Where it is found on its network.
    url: str
    visitor: Visitor

    def inside(self, program: str) -> str:
        """Return what a program prints that is run beside the server, in its container."""
        container = self.project.compose("ps", "--quiet", "server").stdout.strip()
        return self.project.docker.call("exec", container, "python3", "-c", program)


@pytest.fixture(scope="module")
def site(docker: BuildingDocker, image: ServerImage, paths: ChannelPaths) -> Iterator[Site]:
    """Start it, with an image that has been pulled."""
    files = [*deployed("public/compose.yaml"), *overriding("compose.override.public.yaml")]
    with started(docker, image, paths, files) as project:
        proxy = project.compose("ps", "--quiet", "proxy").stdout.strip()
        networks = json.loads(docker.call("inspect", proxy))[0]["NetworkSettings"]["Networks"]
        network = next(name for name in networks if name.endswith("_front"))
        url = f"http://{networks[network]['IPAddress']}:8080"
        visitor = Visitor(docker, image.name, network, url)
        pulled = docker.pull(f"{project.host}/{SIMPLE}")
        assert pulled.ok, pulled.output
        yield Site(project, url, visitor)


def settings_of_the_site() -> dict[str, str]:
    """Return the variables that are set for the server."""
    lines = (PUBLIC / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_server_accepts_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a stranger could fill is without a bound, and nothing is kept for one."""
    for name, value in settings_of_the_site().items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.new_images
    assert settings.cache_bytes
    assert settings.auth_file is None
    assert not settings.pin_builds
    assert not settings.pin_builds_of_strangers


def test_nginx_takes_no_more_than_the_server() -> None:
    """What is written in two files is the same, and who is trusted is nginx alone."""
    nginx = (PUBLIC / "nginx.conf").read_text(encoding="utf-8")
    found = re.search(r"client_max_body_size (\d+)k;", nginx)
    assert found
    variables = settings_of_the_site()
    assert int(found[1]) * 1024 == int(variables["PULLFORGE_MAX_REQUEST_BYTES"])
    compose = (PUBLIC / "compose.yaml").read_text(encoding="utf-8")
    (trusted,) = json.loads(variables["PULLFORGE_TRUSTED_PROXIES"])
    assert f"ipv4_address: {trusted}}}" in compose


def test_its_policy_is_one() -> None:
    """Every field is known, and it refuses what is too large."""
    (path,) = (PUBLIC / "policies").iterdir()
    policy = read_policy(path.stem, path.read_text(encoding="utf-8"))
    assert policy.mode == "enforce"
    assert policy.document.limits is not None


@pytest.mark.engine("docker")
def test_the_policy_holds(site: Site) -> None:
    """What is too large for strangers is refused with a sentence, and nothing is downloaded."""
    before = _Held.of(site)
    answer = httpx.get(f"{site.url}/v2/{LARGE.replace(':', '/manifests/')}", timeout=120)
    print(answer.text)
    assert answer.status_code == 404, answer.text
    assert "public" in answer.json()["errors"][0]["message"]
    assert _Held.of(site).locks == before.locks


@pytest.mark.engine("docker")
def test_compose_understands_every_line() -> None:
    """No variable has to be set."""
    outcome = run([str(COMPOSE.path()), *deployed("public/compose.yaml"), "config", "--quiet"])
    assert outcome.returncode == 0, outcome.output
    assert not outcome.output


@pytest.mark.engine("docker")
def test_strangers_write_nothing(site: Site, docker: BuildingDocker) -> None:
    """No push, no pin, no namespace, no large file; the numbers are for those inside."""
    reference = f"{site.project.host}/{SIMPLE}"
    pushed = docker.publish(reference, f"{site.project.host}/mine/numpy:1")
    assert not pushed.ok
    print(pushed.output.strip().splitlines()[-1])
    api = f"{site.url}/api/v1"
    made = httpx.post(f"{api}/namespaces", json={"name": "mine"}, timeout=60)
    assert made.status_code in {401, 403}, made.text
    built = httpx.post(f"{api}/builds", json={"specs": ["six"]}, timeout=60)
    assert built.is_success, built.text
    assert not json.loads(site.inside(_PINS))
    assert httpx.post(f"{api}/builds", content=bytes(300_000), timeout=60).status_code == 413
    assert httpx.get(f"{site.url}/metrics", timeout=60).status_code == 404


@pytest.mark.engine("docker")
def test_one_address_that_asks_for_1000_names_keeps_nobody_else_from_pulling(
    site: Site, paths: ChannelPaths
) -> None:
    """It gets what its bucket has, 429 for the rest; others' first pulls start, memory stays."""
    names = _names(paths, _NAMES + 6)
    greedy, others = names[:_NAMES], names[_NAMES:]
    before = _Held.of(site)
    _percentiles(site.url, _IDLE_SECONDS)  # what others asked for before is done then
    idle = _percentiles(site.url, _IDLE_SECONDS)
    begun = time.monotonic()
    with (
        _asking(site.visitor, greedy, connections=16, seconds=_GREEDY_SECONDS) as took,
        _asking(site.visitor, others) as given,
    ):
        busy = [_percentiles(site.url, _IDLE_SECONDS)]
        while took.is_alive():
            busy.append(_percentiles(site.url, _IDLE_SECONDS))
    minutes = (time.monotonic() - begun) / 60
    after = _Held.of(site)

    found = [statistics.median(each) for each in zip(*busy, strict=True)]
    print(f"p99 of warm manifests: {found[0]:.1f} ms, {idle[0]:.1f} at rest")
    print(f"p99 of what nginx answers itself: {found[1]:.1f} ms, {idle[1]:.1f} at rest")
    print(f"the greedy one: {took.answers.statuses} in {minutes * 60:.0f} s")
    print(f"others' first pulls: {[f'{each:.1f} s' for each in given.answers.seconds.values()]}")
    print(f"before {before}, after {after}")

    _assert_refused(took.answers, minutes)
    assert given.answers.statuses == {200: len(others)}, given.answers
    assert after.oom_kills == 0
    assert after.most_memory < after.memory_limit
    made = after.locks - before.locks
    assert made <= _tokens(minutes) + len(others), "others' tokens are their own"
    assert found[0] <= 5 * max(idle[0], found[1]), "what the machine takes is in nginx's, too"


def _assert_refused(answers: Answers, minutes: float) -> None:
    """Assert that a client that asks for everything had its tokens, and sentences for the rest."""
    assert answers.asked == _NAMES
    assert set(answers.statuses) <= {200, 404, 429}, answers.statuses
    assert answers.statuses[429] >= _NAMES - _tokens(minutes)
    assert len(answers.seconds) <= _tokens(minutes)
    assert all(after and 0 < int(after) <= 60 for after, _ in answers.refusals)
    sentences = {re.sub(r"\d+", "N", sentence) for _, sentence in answers.refusals}
    print(f"{sentences}, Retry-After up to {max(int(a or 0) for a, _ in answers.refusals)} s")
    assert any("images that have to be built first" in sentence for sentence in sentences)


def _tokens(minutes: float) -> float:
    """Return how many new images one address may have had after some minutes."""
    variables = settings_of_the_site()
    burst, rate = (int(variables[f"PULLFORGE_NEW_IMAGES{name}"]) for name in ("", "_PER_MINUTE"))
    return burst + rate * minutes + 1


def _names(paths: ChannelPaths, count: int) -> list[str]:
    """Return environments of three packages each that nobody has asked for, mostly solvable."""
    packages = {
        record["name"]
        for index in paths.channel.rglob("repodata.json")
        for record in json.loads(index.read_text())["packages.conda"].values()
    }
    chosen = random.Random(1)
    ordered = sorted(name for name in packages if name[0].isalpha())
    return [".".join(sorted(chosen.sample(ordered, 3))) for _ in range(count)]


class _asking(threading.Thread):  # noqa: N801 (it is used as a context)
    """A visitor who asks for names meanwhile; on exit all answers are there."""

    def __init__(
        self, visitor: Visitor, names: Sequence[str], *, connections: int = 1, seconds: float = 0
    ) -> None:
        super().__init__()
        self._visitor, self._names = visitor, list(names)
        self._connections, self._seconds = connections, seconds
        self._answers: Answers | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join()

    def run(self) -> None:
        """Ask."""
        self._answers = self._visitor.ask(
            self._names, ACCEPT, connections=self._connections, seconds=self._seconds
        )

    @property
    def answers(self) -> Answers:
        """What came of it, at the end."""
        assert self._answers is not None, "it failed"
        return self._answers


def _percentiles(url: str, seconds: float) -> list[float]:
    """Return the 99th percentiles in milliseconds of a warm manifest and of nginx's own answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    taken: dict[str, list[float]] = {_WARM: [], _STATIC: []}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path, times in taken.items():
            started_at = time.perf_counter()
            connection.request("GET", path, headers=dict(HEADERS))
            reply = connection.getresponse()
            reply.read()
            times.append((time.perf_counter() - started_at) * 1000)
            assert reply.status == 200, (path, reply.status)
            time.sleep(_PAUSE_SECONDS)
    connection.close()
    return [statistics.quantiles(times, n=100)[-1] for times in taken.values()]


_PINS: Final = """
import json, pathlib
pins = pathlib.Path("/var/lib/pullforge/pins")
print(json.dumps([path.name for path in pins.rglob("*") if path.is_file()]))
"""
#: What a server holds, whichever version of control groups there is.
_HELD: Final = """
import json, os, pathlib

def first(*names):
    for name in names:
        path = pathlib.Path("/sys/fs/cgroup", name)
        if path.exists():
            return path.read_text()
    raise SystemExit(f"none of {names}")

store = pathlib.Path("/var/lib/pullforge")
files = [p for p in store.rglob("*") if p.is_file()]
events = first("memory.events", "memory/memory.oom_control")
print(json.dumps({
    "most_memory": int(first("memory.peak", "memory/memory.max_usage_in_bytes")),
    "memory_limit": int(first("memory.max", "memory/memory.limit_in_bytes")),
    "oom_kills": int(dict(line.split() for line in events.splitlines())["oom_kill"]),
    "disk": sum(p.stat().st_size for p in files),
    "locks": sum(p.is_relative_to(store / "locks") for p in files),
}))
"""


@dataclass(frozen=True, slots=True)
class _Held:
    """What the server holds, in bytes and numbers."""

    most_memory: int
    memory_limit: int
    oom_kills: int
    disk: int
    locks: int

    @classmethod
    def of(cls, site: Site) -> "_Held":
        """Look inside."""
        return cls(**json.loads(site.inside(_HELD)))
