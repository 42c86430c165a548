"""A Docker engine that builds, and the images the deployments are made of."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from conformance.cache import cache_directory
from conformance.channel import ChannelPaths
from conformance.clients.engines import Docker, EngineMissing
from conformance.clients.engines.program import Outcome, run
from conformance.clients.server import ROOT
from conformance.deploy.debian import debian_tar, write_context
from conformance.s3.server import VERSITYGW

DEBIAN: Final = "localhost/debian:bookworm"
SERVER: Final = "localhost/pullforge:test"
NGINX: Final = "localhost/nginx:test"
REDIS: Final = "localhost/redis:test"
STORAGE: Final = "localhost/versitygw:test"

BuilderName = Literal["classic", "buildkit"]

_BUILD_SECONDS: Final = 900
#: What the images are made of.
_SOURCES: Final = (
    *("Dockerfile", ".dockerignore", "deploy", "pyproject.toml", "README.md"),
    *("builder", "registry", "conformance/deploy/images.py", "conformance/deploy/debian.py"),
)

_NGINX_DOCKERFILE: Final = f"""\
FROM {DEBIAN}
RUN apt-get update -qq && apt-get install -qq --no-install-recommends nginx-light
"""
_REDIS_DOCKERFILE: Final = f"""\
FROM {DEBIAN}
RUN apt-get update -qq && apt-get install -qq --no-install-recommends redis-server
"""
_STORAGE_DOCKERFILE: Final = """\
FROM scratch
COPY versitygw /usr/local/bin/versitygw
ENTRYPOINT ["/usr/local/bin/versitygw"]
"""


@dataclass(frozen=True, slots=True)
class ServerImage:
    """The image that ``Dockerfile`` makes."""

    name: str
    size_bytes: int
    base_size_bytes: int


class BuildingDocker(Docker):
    """A Docker engine that also builds and is asked anything ``docker`` can be asked."""

    def call(self, *arguments: str, timeout_seconds: float = 120) -> str:
        """Run ``docker`` and return what it printed to standard output, stripped."""
        outcome = self.attempt(*arguments, timeout_seconds=timeout_seconds)
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout.strip()

    def attempt(self, *arguments: str, timeout_seconds: float = 120) -> Outcome:
        """Run ``docker``; a failure is a result."""
        return self._docker(*arguments, timeout_seconds=timeout_seconds)

    @property
    def environment_of_clients(self) -> dict[str, str]:
        """What other programs need to find the daemon."""
        return {"DOCKER_CONFIG": str(self._home / "config"), "DOCKER_HOST": self._host}

    def build(
        self,
        context: Path,
        name: str,
        arguments: Mapping[str, str] | None = None,
        builder: BuilderName = "classic",
    ) -> float:
        """Build an image with the network of this machine; return the seconds that it took.

        Raises:
            EngineMissing: BuildKit is asked for, and no client here can talk to it.
        """
        client = "docker" if builder == "classic" else _buildkit_client()
        argv = [client, "build", "--network=host", f"--tag={name}", str(context)]
        argv += [f"--build-arg={key}={value}" for key, value in (arguments or {}).items()]
        env = {**self.environment_of_clients, "DOCKER_BUILDKIT": str(int(builder == "buildkit"))}
        outcome = run(argv, env=env, timeout_seconds=_BUILD_SECONDS)
        assert outcome.returncode == 0, outcome.output[-6000:]
        return outcome.seconds

    def build_text(self, dockerfile: str, name: str, *files: Path) -> None:
        """Build an image from a Dockerfile's text and some files beside it."""
        with tempfile.TemporaryDirectory(prefix="pf-context-") as directory:
            context = Path(directory)
            (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
            for file in files:
                shutil.copy2(file, context)
            self.build(context, name)

    def forget_pulled(self) -> None:
        """Remove what was pulled from servers of this machine: its layers would not be fetched."""
        for name in self.call("image", "ls", "--format={{.Repository}}:{{.Tag}}").splitlines():
            if name.startswith("127.0.0.1:"):
                self.remove(name)

    def size_bytes(self, name: str) -> int:
        """Return how much disk an image takes, unpacked."""
        return int(self.call("image", "inspect", "--format={{.Size}}", name))


def provide(docker: BuildingDocker) -> None:
    """Give an engine ``DEBIAN``, ``SERVER`` and what stands for public images.

    They are built once, which takes minutes, and then loaded: also by those who wait for it.
    """
    cache = cache_directory("images")
    tar = cache / f"{_version()}.tar"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if tar.exists():
            docker.load(tar)
            return
        _build(docker)
        for old in cache.glob("*.tar*"):
            old.unlink()
        part = tar.with_suffix(".tar.part")
        names = (DEBIAN, SERVER, NGINX, REDIS, STORAGE)
        docker.call("save", f"--output={part}", *names, timeout_seconds=300)
        part.rename(tar)


def build_server(
    docker: BuildingDocker, name: str = SERVER, builder: BuilderName = "classic"
) -> ServerImage:
    """Build ``Dockerfile`` on ``DEBIAN``."""
    docker.build(ROOT, name, {"BASE": DEBIAN}, builder)
    return server_image(docker, name)


def server_image(docker: BuildingDocker, name: str = SERVER) -> ServerImage:
    """Return what ``Dockerfile`` has made."""
    return ServerImage(name, docker.size_bytes(name), docker.size_bytes(DEBIAN))


def _build(docker: BuildingDocker) -> None:
    imported = f"{DEBIAN}-imported"
    docker.call("import", '--change=CMD ["sh"]', str(debian_tar()), imported)
    with tempfile.TemporaryDirectory(prefix="pf-context-") as directory:
        write_context(Path(directory), imported)
        docker.build(Path(directory), DEBIAN)
    docker.build_text(_NGINX_DOCKERFILE, NGINX)
    docker.build_text(_REDIS_DOCKERFILE, REDIS)
    docker.build_text(_STORAGE_DOCKERFILE, STORAGE, VERSITYGW.directory() / "versitygw")
    build_server(docker)


def _version() -> str:
    """Return another name for every change of what the images are made of."""
    digest = sha256(f"{debian_tar()} {VERSITYGW.directory()}".encode())
    for place in _SOURCES:
        for path in sorted([ROOT / place, *(ROOT / place).rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT).as_posix()
                digest.update(f"{name} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def local_settings(paths: ChannelPaths) -> list[str]:
    """Return options of ``docker run`` that give a server the local channel and base image."""
    return [
        '--env=PULLFORGE_CHANNELS={"conda-forge": "file:///channel"}',
        "--env=PULLFORGE_BASE=oci:/base",
        f"--volume={paths.channel}:/channel:ro",
        f"--volume={paths.base}:/base:ro",
    ]


def wait_until(holds: Callable[[], bool], what: str, timeout_seconds: float = 60) -> None:
    """Return when something holds that a daemon does by itself."""
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_seconds} s"
        time.sleep(0.2)


def _buildkit_client() -> str:
    """Return a ``docker`` that can use BuildKit: an old one, or one that has the plugin buildx."""
    for directory in os.get_exec_path():
        client = Path(directory) / "docker"
        if not client.is_file():
            continue
        major = run([client, "version", "--format={{.Client.Version}}"]).stdout.split(".")[0]
        if major.isdigit() and int(major) < 23:
            return str(client)
        if run([client, "buildx", "version"]).returncode == 0:
            return str(client)
    raise EngineMissing("no docker client here can use BuildKit")
