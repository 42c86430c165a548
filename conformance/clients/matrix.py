"""Which clients the tests are run with."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from conformance.clients.engines import (
    Client,
    Containerd,
    Crane,
    Docker,
    EngineMissing,
    Podman,
    Skopeo,
    containerd,
    docker,
)
from conformance.missing import skip_unless_ci

DOCKER_29: Final = "docker-29"
CONTAINERD_1_6: Final = "containerd-1.6"
CONTAINERD_2: Final = "containerd-2"

#: How each client is made.
FACTORIES: Final[dict[str, Callable[[], Client]]] = {
    "docker": Docker,
    DOCKER_29: lambda: Docker(DOCKER_29, [docker.CURRENT, containerd.CURRENT]),
    "podman": Podman,
    "skopeo": Skopeo,
    CONTAINERD_1_6: lambda: Containerd(CONTAINERD_1_6),
    CONTAINERD_2: lambda: Containerd(CONTAINERD_2, containerd.CURRENT),
    "crane": Crane,
}

#: Those that run what they pulled.
RUNNERS: Final = ("docker", DOCKER_29, "podman", CONTAINERD_1_6, CONTAINERD_2)


def every(names: Iterable[str] = FACTORIES) -> list[object]:
    """Return parameters, one for each client, that carry the marker ``engine``."""
    return [pytest.param(name, marks=pytest.mark.engine(name), id=name) for name in names]


class Engines:
    """The clients that were needed so far: each is started once and used by all tests."""

    def __init__(self) -> None:
        self._started: dict[str, Client] = {}
        self._missing: dict[str, str] = {}

    def get(self, name: str) -> Client:
        """Return a client, started; where it is missing the test is skipped, and fails in CI."""
        if name not in self._started and name not in self._missing:
            try:
                self._started[name] = FACTORIES[name]().__enter__()
            except EngineMissing as error:
                self._missing[name] = str(error)
        if name in self._missing:
            skip_unless_ci(self._missing[name])
        return self._started[name]

    def stop(self) -> None:
        """Stop every client; most of the time goes into deleting files."""
        with ThreadPoolExecutor(len(FACTORIES)) as pool:
            list(pool.map(_stop, self._started.values()))


def _stop(client: Client) -> None:
    client.__exit__(None, None, None)
