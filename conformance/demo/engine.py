"""Ways to pull and run an image: docker or podman where they work, else a client of our own."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.clients.engines.podman import Podman
from conformance.oci_client import OciClient, run_in, unpack

#: The name of the client that every machine has.
OWN: Final = "our client"


@dataclass(frozen=True, slots=True)
class Engine:
    """A way to pull and run images."""

    name: str
    #: Pulls a reference; raises ``subprocess.CalledProcessError``.
    pull: Callable[[str], None]
    #: Runs a Python program in an image and returns what it prints.
    run: Callable[[str, str], str]


@contextmanager
def open_engine(address: str, directory: Path) -> Iterator[Engine]:
    """Give docker, podman or the project's own client: the first that works here.

    Args:
        address: Host and port of the registry.
        directory: Where the own client keeps images.
    """
    if shutil.which("docker") and _works("docker", "info"):
        yield Engine("docker", _docker_pull, _docker_run)
    elif all(shutil.which(program) for program in ("podman", "runc", "conmon")):
        with Podman() as podman:  # with storage of its own: leaves nothing in the user's
            yield _podman_engine(podman)
    else:
        yield _own_engine(address, directory)


def _docker_pull(reference: str) -> None:
    subprocess.run(["docker", "pull", "--quiet", reference], check=True, stdout=subprocess.DEVNULL)


def _docker_run(reference: str, source: str) -> str:
    command = ["docker", "run", "--rm", "--network=none", reference, "python", "-c", source]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _podman_engine(podman: Podman) -> Engine:
    def pull(reference: str) -> None:
        result = podman.pull(reference)
        if result.returncode:
            print(result.output.rstrip())
            raise SystemExit("podman could not pull the image")

    return Engine(
        "podman", pull, lambda reference, source: podman.run(reference, "python", "-c", source)
    )


def _own_engine(address: str, directory: Path) -> Engine:
    client = OciClient(address, directory / "blobs")

    def pull_image(reference: str) -> None:
        client.pull(reference.removeprefix(f"{address}/"))

    def run_image(reference: str, source: str) -> str:
        image = client.pull(reference.removeprefix(f"{address}/"))
        root = directory / "root"
        unpack(image, root)
        return run_in(root, image, ["/opt/conda/bin/python", "-c", source])

    return Engine(OWN, pull_image, run_image)


def _works(*command: str) -> bool:
    result = subprocess.run(command, check=False, capture_output=True, timeout=60)
    return result.returncode == 0
