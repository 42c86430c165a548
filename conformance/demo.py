"""``make demo``: a server on the local channel, a first pull, a run, a second pull.

Everything is real but local: the channel and the base image are made from what PyPI and Debian
offer, so that no other server is needed. The pull uses the machine's own engine, docker or podman;
where neither works, a small client of the project's, with bubblewrap to run the image.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from conformance.channel import ensure
from conformance.channel.server import ChannelServer
from conformance.oci_client import OciClient, run_in, unpack

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
    console = Console()
    console.print("[bold]1.[/] the local conda channel and base image (kept for the next time)")
    paths = ensure()
    with (
        tempfile.TemporaryDirectory(prefix="pullforge-demo-") as directory,
        ChannelServer(paths.channel) as channel,
        _server(channel.url, paths.base, Path(directory)) as address,
    ):
        engine = _engine(address, Path(directory))
        reference = f"{address}/{REPOSITORY}"
        console.print(f"[bold]2.[/] first pull: {engine.name} pull {reference}")
        first = _timed(lambda: engine.pull(reference))
        console.print("[bold]3.[/] run python in it")
        console.print(engine.run(reference, PROGRAM).rstrip())
        console.print("[bold]4.[/] second pull")
        second = _timed(lambda: engine.pull(reference))
        console.print(
            f"first pull {first:.1f} s (solved, assembled, pulled), second pull {second:.1f} s"
        )
        console.print(f"the server is at [bold]http://{address}[/]; try {reference}.scipy")
        if "--keep" in sys.argv or sys.stdin.isatty():
            console.print("press Ctrl-C to stop it")
            with _until_interrupted():
                while True:
                    time.sleep(3600)


@contextmanager
def _server(channel_url: str, base: Path, directory: Path) -> Iterator[str]:
    """Start the registry as a user would; gives its host and port."""
    port = _free_port()
    environment = os.environ | {
        "PULLFORGE_PORT": str(port),
        "PULLFORGE_STORE": str(directory / "store"),
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


def _engine(address: str, directory: Path) -> Engine:
    """Return docker, podman or the project's own client: the first that works here."""
    if shutil.which("docker") and _works("docker", "info"):
        return _command_line_engine("docker", [], ["--network=none"])
    podman = ["--root", str(directory / "podman"), "--runroot", str(directory / "podman-run")]
    podman += ["--cgroup-manager=cgroupfs"]
    if shutil.which("runc"):
        podman += ["--runtime=runc"]  # crun refuses machines with both cgroup versions
    if shutil.which("podman") and _works("podman", *podman, "info"):
        run = ["--network=none", *_own_limits()]
        return _command_line_engine("podman", podman, run, ["--tls-verify=false"])
    if not shutil.which("bwrap"):
        raise SystemExit("running an image needs docker, podman or bubblewrap; install one")
    return _own_engine(address, directory)


def _own_limits() -> list[str]:
    """Return podman's options to ask for no more than this process may have.

    Inside a container podman could not raise its limits, and would refuse to start.
    """
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    return [
        f"--ulimit={name}={soft}:{hard}"
        for name, (soft, hard) in ((n, resource.getrlimit(limit)) for n, limit in limits.items())
        if hard != resource.RLIM_INFINITY
    ]


def _command_line_engine(
    program: str, options: list[str], run: list[str], pull: list[str] | None = None
) -> Engine:
    command = [program, *options]

    def pull_image(reference: str) -> None:
        subprocess.run([*command, "pull", *(pull or []), reference], check=True)

    def run_image(reference: str, source: str) -> str:
        return subprocess.run(
            [*command, "run", "--rm", *run, reference, "python", "-c", source],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    return Engine(program, pull_image, run_image)


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


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
