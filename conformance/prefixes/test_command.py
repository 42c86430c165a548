"""``pullforge prefixes sync`` as people and machines run it, over a network that fails."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import command
from conformance.ports import free_port
from conformance.prefixes.site import SPACE, Built, Node, Site
from conformance.prefixes.wire import Wire
from registry.prefixes.status import read_status

_SECONDS = 120


@pytest.fixture(scope="module")
def site(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Site]:
    """Start a server whose namespace has one environment, in two versions."""
    with Site(paths, channel.url) as site:
        yield site


@pytest.fixture(scope="module")
def versions(site: Site) -> tuple[Built, Built]:
    """Build two versions; the second is active."""
    path = f"{SPACE}/forecast"
    return (
        site.build(path, "python=3.11", "click=8.1.7"),
        site.build(path, "python=3.11", "click=8.2.1"),
    )


def reach(condition: Callable[[], bool], why: Callable[[], object]) -> None:
    """Return when something is so."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


def is_ready(port: int) -> bool:
    """Tell whether a process that answers probes says that it is ready."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def leads_to(link: Path, to: Built) -> bool:
    """Tell whether a link leads to a version."""
    return link.is_symlink() and link.readlink().name == to.key


def log_of(node: Node) -> str:
    """Return what a machine that follows has written."""
    return (node.home / "follow.log").read_text(encoding="utf-8")


def behind(node: Node, wire: Wire) -> list[str]:
    """Return options by which a machine that has logged in reaches the server over a wire."""
    profiles = node.home / "config" / "pullforge" / "profiles.toml"
    (token,) = re.findall(r'^token = "(.*)"$', profiles.read_text(), re.MULTILINE)
    path = node.home / "token"
    path.write_text(token)
    return ["--server", wire.host, "--token-file", str(path)]


def test_the_quick_start_works_as_it_is_written(site: Site, versions: tuple[Built, Built]) -> None:
    """Log in, make the directory equal, and run Python."""
    node = site.node()
    made = node.sync().stdout.splitlines()
    old, new = versions
    assert re.fullmatch(rf"made builds/{new.key} \({SPACE}/forecast v2, [0-9.]+ MB\)", made[0])
    assert made[1:] == [
        f"linked {SPACE}/envs/forecast ({SPACE}/forecast v2)",
        f"linked {SPACE}/envs/forecast@v2 ({SPACE}/forecast v2)",
    ]
    program = "import importlib.metadata as m; print(m.version('click'))"
    python = node.link(new.path) / "bin" / "python"
    said = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    assert said.stdout == "8.2.1\n"
    status = node.status()
    assert (status["is_equal"], status["lag_seconds"], status["problems"]) == (True, 0, [])
    assert old.key not in node.builds()


def test_a_change_comes_while_it_is_followed_and_it_ends_when_it_is_told(
    site: Site, versions: tuple[Built, Built]
) -> None:
    """A link is switched soon after the activation; metrics and probes tell of it."""
    node, port = site.node(), free_port()
    link, seconds = node.link(versions[0].path), []
    with node.following("--versions", "all", "--metrics", f"127.0.0.1:{port}"):
        reach((link.parent / "forecast@v1").exists, lambda: log_of(node))
        for turn in range(6):
            to = versions[turn % 2]
            site.activate(to.path, to.number)
            began = time.monotonic()
            reach(partial(leads_to, link, to), lambda: log_of(node))
            seconds.append(time.monotonic() - began)
        print(f"\nlinks were switched after {', '.join(f'{one:.2f}' for one in seconds)} s")
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/readyz").status_code == 200
        assert httpx.get(f"{url}/healthz").status_code == 200
        text = httpx.get(f"{url}/metrics").text
        found = dict(re.findall(r"^pullforge_prefixes_(\w+) ([0-9.e+]+)$", text, re.MULTILINE))
        assert (found["count"], found["links"], found["problems"]) == ("2.0", "3.0", "0.0")
        assert (found["lag_seconds"], float(found["bytes"]) > 10**7) == ("0.0", True)
        assert float(found["pass_seconds_count"]) >= 6
    assert "Traceback" not in log_of(node)
    process = node.start("--follow", "--metrics", f"127.0.0.1:{port}")
    reach(partial(is_ready, port), process.poll)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=_SECONDS) == 0
    node.require_nothing_under_way()


def test_a_server_that_goes_away_in_the_middle_of_a_download_is_waited_for(
    site: Site, versions: tuple[Built, Built]
) -> None:
    """What was there stays, one sentence says why, and what is missing comes later."""
    node = site.node()
    site.activate(versions[1].path, 2)
    with Wire(site.server.url) as wire:
        options = behind(node, wire)
        node.sync("--only", "nothing/*", *options)
        wire.cut_after(3_000_000)
        told = node.sync(*options, code=1)
        assert wire.is_cut
        assert "does not answer" in told.stderr
        assert node.builds() == set()
        status = json.loads(
            subprocess.run(
                command("prefixes", "status", "--root", str(node.root), "-o", "json"),
                capture_output=True,
                text=True,
                env=node.environment,
                check=False,
            ).stdout
        )
        assert (status["is_equal"], "does not answer" in status["away"]) == (False, True)
        with node.following(*options):
            reach(lambda: "does not answer" in log_of(node), lambda: log_of(node))
            wire.mend()
            reach(lambda: node.builds() == {versions[1].key}, lambda: log_of(node))
            reach(lambda: "it works again" in log_of(node), lambda: log_of(node))
            reach(lambda: not read_status(node.root).problems, lambda: log_of(node))
            lines = log_of(node).splitlines()
            assert sum("does not answer" in line for line in lines) == 1, "it is said once"
    assert node.status()["is_equal"]
    node.require_nothing_under_way()


def test_a_download_that_breaks_off_once_is_gone_on_with(
    site: Site, versions: tuple[Built, Built]
) -> None:
    """Nobody has to know."""
    node = site.node()
    with Wire(site.server.url) as wire:
        options = behind(node, wire)
        wire.cut_after(3_000_000)
        process = subprocess.Popen(
            [*node.argv(), *options],
            env=node.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        reach(lambda: wire.is_cut, process.poll)
        wire.mend()
        _, told = process.communicate(timeout=_SECONDS)
    assert process.returncode == 0, told
    assert "does not answer" not in told
    assert node.builds() == {versions[1].key}


def test_a_proxy_that_cuts_what_is_silent_delays_nothing(
    site: Site, versions: tuple[Built, Built]
) -> None:
    """Waits get shorter than its patience, changes come as soon, and there is nothing to tell."""
    node = site.node()
    link = node.link(versions[0].path)
    with Wire(site.server.url) as wire:
        wire.patience_seconds = 4
        with node.following("--versions", "all", *behind(node, wire)):
            reach(lambda: wire.impatient > 0, lambda: log_of(node))
            for to in versions:
                site.activate(to.path, to.number)
                reach(partial(leads_to, link, to), lambda: log_of(node))
        assert "does not answer" not in log_of(node)


def test_a_token_that_ends_takes_nothing_away(
    site: Site, versions: tuple[Built, Built], tmp_path: Path
) -> None:
    """A token of one namespace makes that one; without it all stays, and a new one goes on."""
    site.add_namespace("others")
    site.build("others/tool", "idna=3.7")
    node = site.node()
    token = tmp_path / "token"

    def give(name: str) -> None:
        argv = command("token", "create", name, "--scope", f"{SPACE}/*:pull")
        token.write_bytes(
            subprocess.run(argv, env=node.environment, check=True, capture_output=True).stdout
        )

    give("one")
    with node.following("--token-file", str(token)):
        reach(lambda: set(node.links()) >= {versions[0].path}, lambda: log_of(node))
        subprocess.run(command("token", "revoke", "one"), env=node.environment, check=True)
        reach(lambda: "tried again" in log_of(node), lambda: log_of(node))
        assert {name.partition("/")[0] for name in node.links()} == {SPACE}
        give("two")
        reach(lambda: "it works again" in log_of(node), lambda: log_of(node))
    assert {name.partition("/")[0] for name in node.links()} == {SPACE}
