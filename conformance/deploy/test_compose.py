"""``deploy/compose.yaml``, started for real: two servers, nginx and an S3 server."""

from collections.abc import Iterator

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.clients.engines.program import run
from conformance.deploy.images import BuildingDocker, ServerImage
from conformance.deploy.programs import COMPOSE
from conformance.deploy.project import Project, deployed, overriding, started


@pytest.fixture(scope="module")
def project(docker: BuildingDocker, image: ServerImage, paths: ChannelPaths) -> Iterator[Project]:
    """Start everything."""
    files = [*deployed("compose.yaml"), *overriding("compose.override.yaml")]
    with started(docker, image, paths, files) as project:
        yield project


def test_compose_understands_every_line() -> None:
    """With nothing but the one variable that has no default."""
    argv = [str(COMPOSE.path()), *deployed("compose.yaml"), "config", "--quiet"]
    outcome = run(argv, env={"S3_SECRET_KEY": "x"})
    assert outcome.returncode == 0, outcome.output
    assert not outcome.output
    refused = run(argv, env={"S3_SECRET_KEY": ""})
    assert "compose.env.example" in refused.output


@pytest.mark.engine("docker")
def test_images_come_through_nginx_and_blobs_from_s3(project: Project) -> None:
    """A pull and a run; the bytes of layers do not go through the servers."""
    reference = f"{project.host}/env/click:latest"
    pulled = project.docker.pull(reference)
    assert pulled.ok, pulled.output
    print(f"first pull: {pulled.seconds:.1f} s")
    assert "click" in project.docker.run(reference, "python", "-c", "import click; print(click)")
    blobs = [line for line in project.logs("proxy").splitlines() if '"path":"/pullforge/' in line]
    assert blobs
    assert all('"status":200' in line for line in blobs)
    assert "X-Amz-Signature" not in project.logs("proxy")


@pytest.mark.engine("docker")
def test_both_servers_answer_and_give_the_same_image(project: Project) -> None:
    """What one has built, the other knows."""
    digests = {
        project.docker.call(
            "exec",
            project.compose("ps", "--quiet", service).stdout.strip(),
            "python3",
            "-c",
            "import httpx; print(httpx.get('http://127.0.0.1:8080/v2/env/click/manifests/latest',"
            " follow_redirects=True, timeout=60).headers['docker-content-digest'])",
        )
        for service in ("server-1", "server-2")
    }
    assert len(digests) == 1


@pytest.mark.engine("docker")
def test_one_repository_is_built_by_one_server(project: Project) -> None:
    """All who ask for one manifest are sent to one server, through nginx's hash."""
    url = f"http://{project.host}/v2/env/{{}}/manifests/latest"
    names = {"rich", "six", "attrs", "pytz"}
    for _ in range(3):
        for name in names:
            httpx.get(url.format(name), follow_redirects=True, timeout=120)
    logs = [project.logs(service) for service in ("server-1", "server-2")]
    one, other = ({n for n in names if f"/v2/env/{n}/manifests" in log} for log in logs)
    assert one | other == names
    assert not one & other


@pytest.mark.engine("docker")
def test_what_is_counted_is_not_for_the_world(project: Project) -> None:
    """Only the network behind reads metrics."""
    assert httpx.get(f"http://{project.host}/metrics").status_code == 404
    assert httpx.get(f"http://{project.host}/healthz").status_code == 200


@pytest.mark.engine("docker")
@pytest.mark.parametrize("service", ["server-1", "server-2"])
def test_one_server_is_enough(project: Project, service: str) -> None:
    """Whichever is killed, pulls go on: known images and new ones."""
    assert project.compose("kill", service).returncode == 0
    try:
        new = {"server-1": "idna", "server-2": "packaging"}[service]
        for name in ("click", new):
            project.docker.remove(f"{project.host}/env/{name}:latest")
            pulled = project.docker.pull(f"{project.host}/env/{name}:latest")
            assert pulled.ok, pulled.output
    finally:
        started = project.compose("up", "--detach", "--no-build", "--wait", service)
        assert started.returncode == 0, started.output
