"""The registry as a user starts it, with the local channel, over a directory or a bucket."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from conformance.ports import free_port
from conformance.s3 import S3Server

_START_SECONDS: Final = 300


@contextmanager
def open_store(kind: str, directory: Path) -> Iterator[dict[str, str]]:
    """Give the settings of an empty store, in the demonstration's directory or a real bucket."""
    if kind == "directory":
        yield {"PULLFORGE_STORE": str(directory / "store")}
        return
    with S3Server() as s3:
        settings = {
            **s3.settings("demo"),
            "scratch": directory / "scratch",
            "database": f"sqlite:///{directory / 'catalog.sqlite'}",
        }
        yield {f"PULLFORGE_{name.upper()}": str(value) for name, value in settings.items()}


@contextmanager
def open_server(
    channel_url: str, base: Path, directory: Path, settings: Mapping[str, str]
) -> Iterator[str]:
    """Start the registry, and give its host and port.

    Args:
        channel_url: Of its only channel.
        base: The layout of the image below all others.
        directory: Where its log is written.
        settings: More, by the names of variables of the environment.
    """
    port = free_port()
    environment = os.environ | {
        **settings,
        # Its passwords are in the open: for this machine alone, whatever is set around it.
        "PULLFORGE_HOST": "127.0.0.1",
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
