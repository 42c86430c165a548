"""The images that are pulled, and how they get from one registry to another."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from benchmarks.docker_registry import DockerRegistry
from builder.build.image import KEY_ANNOTATION
from builder.lock import Lock
from builder.ports import Progress
from conformance.clients.images import ACCEPT
from conformance.clients.server import Server
from registry.cli.session import today
from registry.wiring.building import Builder

#: An everyday environment: 38 packages of all sizes, nine of them pure Python; 460 MB installed.
EVERYDAY: Final = "env/matplotlib.pandas.scikit-learn:latest"
#: A small one with Python, for short runs.
SMALL: Final = "env/python.six:latest"
#: As Debian's docker calls itself, so that this program is answered what docker is.
DOCKER: Final = "docker/20.10.24 go/go1.19.8 git-commit/5d6db84 kernel/6 os/linux arch/amd64"


@dataclass(frozen=True, slots=True)
class Answered:
    """A manifest as docker gets it."""

    digest: str
    data: bytes
    media_type: str
    content: dict[str, Any]

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The descriptors of the layers, the lowest first."""
        layers: list[dict[str, Any]] = self.content["layers"]
        return layers


def environment_of(bench_is_short: bool) -> str:
    """Return the environment that most benchmarks pull."""
    return SMALL if bench_is_short else EVERYDAY


def get_manifest(server: Server, name: str) -> Answered:
    """Return what docker is answered for ``env/numpy:latest``; builds the image if need be."""
    repository, _, tag = name.partition(":")
    answer = httpx.get(
        f"{server.url}/v2/{repository}/manifests/{tag}",
        headers={"Accept": ACCEPT, "User-Agent": DOCKER},
        follow_redirects=True,
        timeout=120,
    ).raise_for_status()
    return Answered(
        answer.headers["Docker-Content-Digest"],
        answer.content,
        answer.headers["Content-Type"],
        answer.json(),
    )


def copy_image(server: Server, name: str, registry: DockerRegistry) -> str:
    """Copy an image of ours, as docker gets it, and return what docker is given to pull the copy.

    The copy has the same digest, so that both registries send the same bytes.
    """
    manifest = get_manifest(server, name)
    repository, _, tag = name.partition(":")
    return registry.copy(
        f"docker://{server.host}/{repository}@{manifest.digest}", f"{repository}:{tag}"
    )


def build_key(manifest: Answered) -> str:
    """Return the key of the lock that an image was made from."""
    key: str = manifest.content["annotations"][KEY_ANNOTATION]
    return key


async def lock(builder: Builder, name: str) -> Lock:
    """Return what a name is solved to."""
    repository, _, tag = name.partition(":")
    spec = await builder.resolver.spec(repository, tag, builder.policy, today())
    return await builder.resolver.lock(spec, ignore)


def ignore(_progress: Progress) -> None:
    """Listen to the progress of a build and do nothing."""
