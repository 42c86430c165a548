"""What ``deploy/compose*.yaml`` describe, started with local images in the place of public ones."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.channel import ChannelPaths
from conformance.clients.engines.program import Outcome, run
from conformance.clients.server import ROOT
from conformance.deploy.images import NGINX, REDIS, STORAGE, BuildingDocker, ServerImage
from conformance.deploy.programs import COMPOSE
from conformance.ports import free_port

_HERE: Final = Path(__file__).parent


def deployed(*names: str) -> list[str]:
    """Return the options that name files of ``deploy/``."""
    return [f"--file={ROOT / 'deploy' / name}" for name in names]


def overriding(*names: str) -> list[str]:
    """Return the options that name files of this directory."""
    return [f"--file={_HERE / name}" for name in names]


@dataclass(frozen=True, slots=True)
class Project:
    """What was started."""

    docker: BuildingDocker
    options: tuple[str, ...]
    port: int

    @property
    def host(self) -> str:
        """Host and port as they stand in references."""
        return f"127.0.0.1:{self.port}"

    def compose(self, *arguments: str, timeout_seconds: float = 180) -> Outcome:
        """Run ``docker compose``."""
        argv = [str(COMPOSE.path()), *self.options, *arguments]
        return run(argv, env=self.docker.environment_of_clients, timeout_seconds=timeout_seconds)

    def logs(self, service: str) -> str:
        """Return what a service has logged."""
        return self.compose("logs", "--no-color", "--no-log-prefix", service).stdout


@contextmanager
def started(
    docker: BuildingDocker, image: ServerImage, paths: ChannelPaths, files: Sequence[str]
) -> Iterator[Project]:
    """Start everything; it is gone on exit, with its volumes.

    Args:
        docker: Runs it.
        image: The server's.
        paths: The channel and the base image that servers are given.
        files: The options that name compose files.
    """
    docker.forget_pulled()
    port, s3_port = free_port(), free_port()
    settings = {
        "S3_SECRET_KEY": "test-secret-of-no-value",
        "PORT": port,
        "S3_PORT": s3_port,
        "S3_PUBLIC_ENDPOINT": f"http://127.0.0.1:{s3_port}",
        "PULLFORGE_IMAGE": image.name,
        "NGINX_IMAGE": NGINX,
        "REDIS_IMAGE": REDIS,
        "S3_IMAGE": STORAGE,
        "CHANNELS": '{"conda-forge": "file:///channel"}',
        "PULLED_BASE": "oci:/base",
        "LOCAL_CHANNEL": paths.channel,
        "LOCAL_BASE": paths.base,
    }
    with tempfile.TemporaryDirectory(prefix="pf-compose-") as directory:
        variables = Path(directory) / "env"
        variables.write_text("".join(f"{k}={v}\n" for k, v in settings.items()), encoding="utf-8")
        project = Project(docker, (f"--env-file={variables}", *files), port)
        try:
            outcome = project.compose("up", "--detach", "--no-build", "--wait")
            assert outcome.returncode == 0, outcome.output + project.compose("logs").output
            print(f"all is up after {outcome.seconds:.0f} s")
            yield project
        finally:
            project.compose("down", "--volumes", "--timeout=5")
