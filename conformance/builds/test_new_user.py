"""A file with packages of conda and of PyPI becomes a key, and runs as an image and unpacked."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.builds.sending import CODE, ENVIRONMENT, SAID, fetch_form, pullforge, push
from conformance.clients.engines import Runner
from conformance.clients.engines.program import run
from conformance.clients.matrix import DOCKER_29, every
from conformance.clients.server import Server

#: A command of a conda package and one of a wheel, with what they print.
COMMANDS = {("f2py", "-v"): "2.", ("flask", "--version"): "Flask 3."}


@pytest.fixture(scope="module")
def build(server: Server) -> dict[str, Any]:
    """Return the build of the file."""
    return push(server, ENVIRONMENT)


def test_the_api_tells_how_far_it_is_until_there_is_a_key(server: Server) -> None:
    """As a program follows it: 202, events, and the build."""
    data = b'{"specs": ["click"], "pip": ["six"]}'
    answer = httpx.post(f"{server.url}/api/v1/builds", content=data, timeout=30)
    assert answer.status_code == 202, answer.text
    request = server.url + answer.headers["Location"]
    events = httpx.get(f"{request}/events", timeout=120).raise_for_status().text
    assert "solving the environment" in events
    assert "resolving packages of PyPI" in events
    end = events.rpartition("event: end\ndata: ")[2]
    status = json.loads(end)
    assert (status["state"], status["percent"]) == ("done", 100)
    again = httpx.post(f"{server.url}/api/v1/builds", content=data, timeout=30)
    assert (again.status_code, again.json()["key"]) == (200, status["key"])


def test_push_prints_the_key_and_the_image(server: Server, build: dict[str, Any]) -> None:
    """As the README shows it; sent again there is nothing to do."""
    solves = server.metric("pullforge_solves_total")
    outcome = pullforge("push", ENVIRONMENT, "--to", server.host)
    assert outcome.stdout.split() == [build["key"], f"{server.host}/build/{build['key']}"]
    assert server.metric("pullforge_solves_total") == solves


@pytest.mark.parametrize("runner", every(("docker", DOCKER_29, "podman")), indirect=True)
def test_the_image_has_packages_and_commands_of_both_kinds(
    runner: Runner, build: dict[str, Any]
) -> None:
    """Pulled by its key, without a tag."""
    result = runner.pull(build["image"])
    assert result.ok, result.output
    assert runner.run(build["image"], "python", "-c", CODE).strip() == SAID
    for command, said in COMMANDS.items():
        assert said in runner.run(build["image"], *command)


def test_the_archive_has_them_too(server: Server, build: dict[str, Any], tmp_path: Path) -> None:
    """Unpacked into a directory that nobody foresaw."""
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(fetch_form(server, build, "archive.tar.gz"))
    prefix = tmp_path / "elsewhere"
    prefix.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", prefix], check=True, timeout=120)
    lines = [
        f'. "{prefix}/bin/activate" && conda-unpack && python -c "$0"',
        *(" ".join(command) for command in COMMANDS),
    ]
    # The file's variables are in conda-meta/state, which conda's own activation reads.
    env = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "2"}
    outcome = run(["bash", "-c", " && ".join(lines), CODE], env=env)
    assert outcome.returncode == 0, outcome.output
    for said in (SAID, *COMMANDS.values()):
        assert said in outcome.stdout
