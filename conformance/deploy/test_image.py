"""The image that ``Dockerfile`` makes: what is in it, and that it serves as documented."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from conformance.channel import ChannelPaths
from conformance.clients.server import ROOT
from conformance.deploy.audit import REQUIREMENTS, pinned
from conformance.deploy.images import (
    BuildingDocker,
    ServerImage,
    build_server,
    local_settings,
    wait_until,
)
from conformance.ports import free_port

#: Without the base, and unpacked: rattler, uv and botocore are half of it.
#: Of these, 90 MB are git and what Debian has it need.
MOST_BYTES = 420 * 1024**2

#: Pinned for Windows or macOS.
ELSEWHERE = {"colorama", "pywin32-ctypes", "xattr"}

#: What the sandbox needs besides Docker's own profile.
PROFILE = ROOT / "deploy" / "seccomp.json"

#: As docs/deployment.md tells to run it.
HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@contextmanager
def running(
    docker: BuildingDocker, image: ServerImage, paths: ChannelPaths, port: int, *options: str
) -> Iterator[str]:
    """Run the image on a port of the loopback interface; gives the container's id."""
    container = docker.call(
        "run",
        "--detach",
        "--network=host",
        "--env=PULLFORGE_HOST=127.0.0.1",
        f"--env=PULLFORGE_PORT={port}",
        *local_settings(paths),
        *options,
        image.name,
    )
    try:
        wait_until(lambda: _answers(port), "the server answers")
        yield container
    except BaseException:
        print(docker.attempt("logs", container).output[-6000:])
        raise
    finally:
        docker.call("rm", "--force", "--volumes", container)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_it_is_small(image: ServerImage) -> None:
    """What is added to the base has a bound."""
    own, base = image.size_bytes - image.base_size_bytes, image.base_size_bytes
    print(f"{own / 1e6:.0f} MB on {base / 1e6:.0f} MB")
    assert own < MOST_BYTES


def test_it_says_how_it_is_run(docker: BuildingDocker, image: ServerImage) -> None:
    """Users, ports, volumes and health are in the image for engines and people to read."""
    config = json.loads(docker.call("image", "inspect", "--format={{json .Config}}", image.name))
    assert config["User"] == "10001:10001"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert list(config["Volumes"]) == ["/var/lib/pullforge"]
    assert config["Labels"]["org.opencontainers.image.title"] == "pullforge"
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_it_says_what_it_is_made_of(docker: BuildingDocker, image: ServerImage) -> None:
    """Its bill of materials has every package that is in it, of Debian and of PyPI."""
    labels = json.loads(
        docker.call("image", "inspect", "--format={{json .Config.Labels}}", image.name)
    )
    text = _printed(docker, image, "cat", labels["io.pullforge.sbom"])
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert errors is None
    named: dict[str, set[str]] = {"deb/debian": set(), "pypi": set()}
    for part in json.loads(text)["components"]:
        kind = part["purl"].removeprefix("pkg:").rpartition("/")[0]
        named[kind].add(f"{part['name']} {part['version']}")
    show = "--showformat=${Package} ${Version}\n"
    assert named["deb/debian"] == set(
        _printed(docker, image, "dpkg-query", "--show", show).splitlines()
    )
    installed = {name.split()[0] for name in named["pypi"]}
    assert {"starlette", "py-rattler", "uv"} <= installed
    assert installed <= set(pinned(REQUIREMENTS))
    assert set(pinned(REQUIREMENTS)) - installed == ELSEWHERE


def test_nothing_in_it_belongs_to_its_user_but_the_store(
    docker: BuildingDocker, image: ServerImage
) -> None:
    """Who gets into the server changes no program, and nothing in it makes anybody root."""
    own = _printed(
        docker, image, "find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/sys", ")",
        "-prune", "-o", "-user", "10001", "-print",
    )  # fmt: skip
    assert own.splitlines() == ["/var/lib/pullforge"]
    writable = _printed(
        docker, image, "find", "/opt", "/usr", "/etc", "-perm", "/022", "-not", "-type", "l"
    )
    assert not writable


def _printed(docker: BuildingDocker, image: ServerImage, program: str, *arguments: str) -> str:
    return docker.call(
        "run",
        "--rm",
        "--network=none",
        "--user=0:0",
        f"--entrypoint={program}",
        image.name,
        *arguments,
    )


@pytest.mark.engine("docker")
def test_it_serves_as_an_ordinary_user_who_can_write_nothing_but_the_store(
    docker: BuildingDocker, image: ServerImage, paths: ChannelPaths
) -> None:
    """It needs no right, no writable root file system, and ends when it is told to."""
    port = free_port()
    with running(docker, image, paths, port, *HARDENED) as container:
        reference = f"127.0.0.1:{port}/env/click:latest"
        pulled = docker.pull(reference)
        assert pulled.ok, pulled.output
        print(f"first pull: {pulled.seconds:.1f} s")
        assert "click" in docker.run(reference, "python", "-c", "import click; print(click)")
        status = docker.call("exec", container, "cat", "/proc/1/status").splitlines()
        assert "Uid:\t10001\t10001\t10001\t10001" in status
        assert "CapEff:\t0000000000000000" in status
        written = {line for line in docker.call("diff", container).splitlines() if line[0] != "A"}
        assert not written
        health = "--format={{.State.Health.Status}}"
        wait_until(lambda: docker.call("inspect", health, container) == "healthy", "it is healthy")
        docker.call("stop", "--time=15", container)
        assert docker.call("inspect", "--format={{.State.ExitCode}}", container) == "0"


@pytest.mark.engine("docker")
def test_what_it_made_outlives_the_container(
    docker: BuildingDocker, image: ServerImage, paths: ChannelPaths
) -> None:
    """A new container on the same volume goes on where the last one ended."""
    volume = docker.call("volume", "create")
    digests = set()
    for _ in range(2):
        port = free_port()
        options = f"--volume={volume}:/var/lib/pullforge"
        with running(docker, image, paths, port, options):
            url = f"http://127.0.0.1:{port}/v2/env/click/manifests/latest"
            answer = httpx.get(url, follow_redirects=True, timeout=120).raise_for_status()
            digests.add(answer.headers["Docker-Content-Digest"])
    assert len(digests) == 1


@pytest.mark.engine("docker")
@pytest.mark.parametrize(
    ("choice", "options", "kind"),
    [
        pytest.param("auto", (), "landlock", id="landlock in docker's own seccomp profile"),
        pytest.param("bwrap", (), None, id="no bubblewrap in docker's own seccomp profile"),
        pytest.param(
            "auto", (f"--security-opt=seccomp={PROFILE}",), "bwrap", id="bubblewrap in deploy's"
        ),
    ],
)
def test_a_sandbox_works_in_a_container(
    docker: BuildingDocker,
    image: ServerImage,
    paths: ChannelPaths,
    choice: str,
    options: tuple[str, ...],
    kind: str | None,
) -> None:
    """Without capabilities; where it does not work, everybody is told and no package is blamed."""
    port = free_port()
    setting = f"--env=PULLFORGE_SANDBOX={choice}"
    with running(docker, image, paths, port, setting, *HARDENED, *options) as container:
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60)
        url = f"http://127.0.0.1:{port}/v2/env/click/manifests/latest"
        answer = httpx.get(url, follow_redirects=True, timeout=120)
        if kind is None:
            sentence = answer.json()["errors"][0]["message"]
            assert (ready.status_code, answer.status_code) == (503, 404)
            assert sentence.startswith("this server has no sandbox")
            assert ready.json()["reasons"] == {"sandbox": sentence}
        else:
            assert (ready.status_code, answer.status_code) == (200, 200), answer.text
            assert f'"kind":"{kind}"' in docker.attempt("logs", container).output


@pytest.mark.engine("docker")
def test_buildkit_makes_it_too(docker: BuildingDocker, image: ServerImage) -> None:
    """Both builders read the same file."""
    other = build_server(docker, "localhost/pullforge:buildkit", "buildkit")
    assert abs(other.size_bytes - image.size_bytes) < 1024**2
