"""``deploy/compose.workers.yaml``, started for real, and the variant with RabbitMQ."""

from collections.abc import Iterator

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.clients.engines.program import run
from conformance.deploy.images import BuildingDocker, ServerImage
from conformance.deploy.programs import COMPOSE
from conformance.deploy.project import Project, deployed, overriding, started

FILES = ("compose.yaml", "compose.workers.yaml")
ALL_FILES = (*FILES, "compose.rabbitmq.yaml")


@pytest.fixture(scope="module")
def project(docker: BuildingDocker, image: ServerImage, paths: ChannelPaths) -> Iterator[Project]:
    """Start everything."""
    overrides = overriding("compose.override.yaml", "compose.override.workers.yaml")
    with started(docker, image, paths, [*deployed(*FILES), *overrides]) as project:
        yield project


@pytest.mark.parametrize("names", [FILES, ALL_FILES], ids=["redis", "rabbitmq"])
def test_compose_understands_every_line(names: tuple[str, ...]) -> None:
    """With nothing but the variables that have no default."""
    argv = [str(COMPOSE.path()), *deployed(*names), "config", "--quiet"]
    outcome = run(argv, env={"S3_SECRET_KEY": "x", "RABBITMQ_PASSWORD": "y"})
    assert outcome.returncode == 0, outcome.output
    assert not outcome.output


def test_a_broker_without_a_password_is_refused() -> None:
    """Compose says which file has the variables."""
    argv = [str(COMPOSE.path()), *deployed(*ALL_FILES), "config", "--quiet"]
    refused = run(argv, env={"S3_SECRET_KEY": "x", "RABBITMQ_PASSWORD": ""})
    assert refused.returncode != 0
    assert "compose.env.example" in refused.output


@pytest.mark.engine("docker")
def test_what_is_pulled_is_built_by_the_worker(project: Project) -> None:
    """The servers assemble nothing, and the image runs."""
    reference = f"{project.host}/env/click:latest"
    pulled = project.docker.pull(reference)
    assert pulled.ok, pulled.output
    print(f"first pull: {pulled.seconds:.1f} s")
    assert "click" in project.docker.run(reference, "python", "-c", "import click; print(click)")
    for service, port, has in (
        ("server-1", 8080, False),
        ("server-2", 8080, False),
        ("worker", 9464, True),
    ):
        program = f"import httpx; print(httpx.get('http://127.0.0.1:{port}/metrics').text)"
        container = project.compose("ps", "--quiet", service).stdout.strip()
        lines = project.docker.call("exec", container, "python3", "-c", program).splitlines()
        made = sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("pullforge_layer_assemblies_total")
        )
        assert (made > 0) is has, (service, made)


@pytest.mark.engine("docker")
def test_redis_may_forget_everything(project: Project) -> None:
    """It is made anew, and pulls go on."""
    made_anew = project.compose(
        "up", "--detach", "--no-build", "--force-recreate", "--wait", "redis"
    )
    assert made_anew.returncode == 0, made_anew.output
    url = f"http://{project.host}/v2/env/six/manifests/latest"
    answer = httpx.get(url, follow_redirects=True, timeout=120)
    assert answer.status_code == 200, answer.text
