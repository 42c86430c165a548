"""``make demo``: a server on the local channel, a first pull, a run, a second pull.

Everything is real but local: the channel and the base image are made from what PyPI and Debian
offer, so that no other server is needed. The pull uses the machine's own engine, docker or podman;
where neither works, a small client of the project's, with bubblewrap to run the image. With
``--store=s3`` an S3 server is started besides, and the engine gets the blobs from there.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from conformance.channel import ensure
from conformance.channel.server import ChannelServer
from conformance.clients.engines.podman import Podman
from conformance.oci_client import OciClient, run_in, unpack
from conformance.ports import free_port
from conformance.s3 import S3Server

REPOSITORY: Final = "env/numpy.pandas"
PROGRAM: Final = (
    "import numpy, pandas; "
    "print(pandas.DataFrame({'numpy': [numpy.__version__], 'pandas': [pandas.__version__]}))"
)
_START_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Engine:
    """A way to pull and run images."""

    name: str
    #: Pulls a reference; raises ``subprocess.CalledProcessError``.
    pull: Callable[[str], None]
    #: Runs a Python program in an image and returns what it prints.
    run: Callable[[str, str], str]


def main() -> None:
    """Run the demonstration; with ``--keep`` the server runs on until Ctrl-C."""
    options = _options()
    console = Console()
    console.print("[bold]1.[/] the local conda channel and base image (kept for the next time)")
    paths = ensure()
    with (
        tempfile.TemporaryDirectory(prefix="pullforge-demo-") as directory,
        ChannelServer(paths.channel) as channel,
        _store(options.store, Path(directory)) as store,
        _server(channel.url, paths.base, Path(directory), store) as address,
        _engine(address, Path(directory)) as engine,
    ):
        reference = f"{address}/{REPOSITORY}"
        console.print(f"[bold]2.[/] first pull: {engine.name} pull {reference}")
        first = _timed(lambda: engine.pull(reference))
        console.print("[bold]3.[/] run python in it")
        console.print(engine.run(reference, PROGRAM).rstrip())
        console.print("[bold]4.[/] second pull")
        second = _timed(lambda: engine.pull(reference))
        console.print(
            f"first pull {first:.1f} s (solved, assembled, pulled), second pull {second:.2f} s"
        )
        if options.store == "s3":
            sent = _sent_bytes(address)
            console.print(
                f"the store is {store['PULLFORGE_STORE']} at"
                f" {store['PULLFORGE_S3_ENDPOINT']}: blobs came from there, and {sent:,} bytes from"
                " the server itself"
            )
        console.print(f"the server is at [bold]http://{address}[/]; try {reference}.scipy")
        if options.keep or sys.stdin.isatty():
            console.print("press Ctrl-C to stop it")
            with _until_interrupted():
                while True:
                    time.sleep(3600)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="let the server run on until Ctrl-C")
    parser.add_argument("--store", choices=["directory", "s3"], default="directory")
    return parser.parse_args()


@contextmanager
def _store(kind: str, directory: Path) -> Iterator[dict[str, str]]:
    """Give the settings of an empty store, in the demonstration's directory or a real bucket."""
    if kind == "directory":
        yield {"PULLFORGE_STORE": str(directory / "store")}
        return
    with S3Server() as s3:
        settings = s3.settings("demo") | {"scratch": directory / "scratch"}
        yield {f"PULLFORGE_{name.upper()}": str(value) for name, value in settings.items()}


@contextmanager
def _server(
    channel_url: str, base: Path, directory: Path, store: Mapping[str, str]
) -> Iterator[str]:
    """Start the registry as a user would; gives its host and port."""
    port = free_port()
    environment = os.environ | {
        **store,
        "PULLFORGE_PORT": str(port),
        "PULLFORGE_CHANNELS": f'{{"conda-forge": "{channel_url}"}}',
        "PULLFORGE_BASE": f"oci:{base}",
    }
    log = (directory / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "registry", "serve"], env=environment, stdout=log, stderr=log
    )
    try:
        address = f"127.0.0.1:{port}"
        _wait_until_ready(f"http://{address}/readyz", process)
        yield address
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the server did not start; its log is server.log in the demo's directory")


@contextmanager
def _engine(address: str, directory: Path) -> Iterator[Engine]:
    """Give docker, podman or the project's own client: the first that works here."""
    if shutil.which("docker") and _works("docker", "info"):
        yield Engine("docker", _docker_pull, _docker_run)
    elif all(shutil.which(program) for program in ("podman", "runc", "conmon")):
        with Podman() as podman:  # with storage of its own: leaves nothing in the user's
            yield _podman_engine(podman)
    elif shutil.which("bwrap"):
        yield _own_engine(address, directory)
    else:
        raise SystemExit("running an image needs docker, podman or bubblewrap; install one")


def _docker_pull(reference: str) -> None:
    subprocess.run(["docker", "pull", reference], check=True)


def _docker_run(reference: str, source: str) -> str:
    command = ["docker", "run", "--rm", "--network=none", reference, "python", "-c", source]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _podman_engine(podman: Podman) -> Engine:
    def pull(reference: str) -> None:
        result = podman.pull(reference)
        print(result.output.rstrip())
        if result.returncode:
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
        return run_in(root, image, ["python", "-c", source])

    return Engine("(no docker or podman works here: our own client)", pull_image, run_image)


def _sent_bytes(address: str) -> int:
    """Return how many bytes of manifests and blobs the server has sent."""
    found = re.findall(
        r'^pullforge_http_sent_bytes_total\{route="/v2[^"]*"\} (\S+)$',
        httpx.get(f"http://{address}/metrics").text,
        re.MULTILINE,
    )
    return sum(int(float(value)) for value in found)


def _works(*command: str) -> bool:
    result = subprocess.run(command, check=False, capture_output=True, timeout=60)
    return result.returncode == 0


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
