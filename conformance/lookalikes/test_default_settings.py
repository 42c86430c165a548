"""`make serve` with its default settings, where the real names are the look-alikes'."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from conformance import channel, pypi
from conformance.clients.engines.program import Daemon, Outcome, run
from conformance.clients.server import ROOT
from conformance.lookalikes.namespace import entering, is_possible

_CLIENT = """
import pathlib, sys
from conformance.oci_client import OciClient, unpack
repository, tag, directory = sys.argv[1:]
image = OciClient("127.0.0.1:8080", pathlib.Path(directory, "blobs")).pull(repository, tag)
unpack(image, pathlib.Path(directory, "root"))
"""


class Serving:
    """`make serve` in a place of its own; clients are started there too."""

    def __init__(self, home: Path) -> None:
        self._home = home
        settings = {name: "" for name in os.environ if name.startswith("PULLFORGE_")}
        assert not settings, f"these are not default settings: {sorted(settings)}"
        self._daemon = Daemon(
            # What is to be installed could not be had from the look-alike of PyPI.
            [
                *(sys.executable, "-m", "conformance.lookalikes"),
                *("make", f"--directory={ROOT}", "--old-file=.venv/.installed", "serve"),
            ],
            home / "serve.log",
            {
                "HOME": str(home),
                "XDG_CACHE_HOME": str(_cache()),
                "PYTHONPATH": str(ROOT),
                # The one thing that differs: the look-alikes of public stores are on this machine.
                "PULLFORGE_PRIVATE_NETWORKS": '["127.0.1.0/24"]',
            },
        )

    def __enter__(self) -> Self:
        self._daemon.start(self._answers, 300)
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.stop()

    def log_end(self) -> str:
        """Return the end of what it logged."""
        return self._daemon.log_end()

    def run(self, *argv: str | Path, timeout_seconds: float = 600) -> Outcome:
        """Run a client where the server is."""
        command = [*entering(self._daemon.pid), *argv]
        return run(command, env={"PYTHONPATH": str(ROOT)}, timeout_seconds=timeout_seconds)

    def pull(self, repository: str, tag: str, directory: Path) -> None:
        """Pull an image and unpack it into `root` below a directory."""
        outcome = self.run(sys.executable, "-c", _CLIENT, repository, tag, directory)
        assert outcome.returncode == 0, outcome.output

    def _answers(self) -> bool:
        probe = "import httpx; httpx.get('http://127.0.0.1:8080/readyz').raise_for_status()"
        return self.run(sys.executable, "-c", probe, timeout_seconds=10).returncode == 0


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server as somebody has it who has read the first lines of the README alone."""
    reason = is_possible()
    if reason is not None:
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
    channel.ensure()
    pypi.ensure()
    with Serving(tmp_path_factory.mktemp("default-settings")) as serving:
        yield serving


def test_conda_forge_on_debian_is_served(serving: Serving, tmp_path: Path) -> None:
    """From conda.anaconda.org and docker.io, through every step of their protocols."""
    serving.pull("env/numpy.pandas", "latest", tmp_path)
    packages = {path.name for path in (tmp_path / "root/opt/conda/conda-meta").glob("*.json")}
    assert {name.rsplit("-", 2)[0] for name in packages} >= {"numpy", "pandas", "python"}
    record = next((tmp_path / "root/opt/conda/conda-meta").glob("numpy-2*.json"))
    url = json.loads(record.read_bytes())["url"]
    assert url.startswith("https://conda.anaconda.org/conda-forge/linux-64/numpy-")
    assert (tmp_path / "root/etc/debian_version").exists()


def test_a_project_of_pypi_is_served(serving: Serving, tmp_path: Path) -> None:
    """From pypi.org and files.pythonhosted.org, beside conda-forge's Python."""
    serving.pull("env/python.3.11.pypi--flask", "latest", tmp_path)
    site = tmp_path / "root/opt/conda/lib/python3.11/site-packages"
    assert (site / "flask/__init__.py").is_file()


def test_a_day_is_served(serving: Serving, tmp_path: Path) -> None:
    """What there was on that day, of both."""
    serving.pull("env/numpy.pypi--six", "2024-05-31-py3.11", tmp_path)
    site = tmp_path / "root/opt/conda/lib/python3.11/site-packages"
    assert [path.name for path in site.glob("six-*")] == ["six-1.16.0.dist-info"]


@pytest.mark.engine("skopeo")
def test_skopeo_pulls_from_it(serving: Serving, tmp_path: Path) -> None:
    """A client that others made."""
    target = f"oci:{tmp_path / 'layout'}:image"
    options = ["--insecure-policy", "copy", "--src-tls-verify=false"]
    outcome = serving.run("skopeo", *options, "docker://127.0.0.1:8080/env/numpy.pandas", target)
    assert outcome.returncode == 0, outcome.output


def test_nothing_but_the_loopback_interface_is_there(serving: Serving) -> None:
    """What answered above cannot have been the real ones."""
    outcome = serving.run("cat", "/proc/net/dev", timeout_seconds=10)
    names = [line.partition(":")[0].strip() for line in outcome.stdout.splitlines()[2:]]
    assert names == ["lo"], names
    assert socket.if_nameindex() != [(1, "lo")]
