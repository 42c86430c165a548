"""The server as its users have it: a process of its own, known by its port and its store alone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx
from conda_lock.lockfile import parse_conda_lock_file
from prometheus_client.parser import text_string_to_metric_families

from conformance.clients.engines.program import Daemon, run
from conformance.ports import free_port

#: What a second process needs to run the module as it is here, installed or not.
ROOT = Path(__file__).resolve().parents[2]

#: How long the server remembers errors; tests wait for it before they pull what they mended.
ERROR_TTL_SECONDS = 2


class Server:
    """``python -m registry serve`` on a free port of the loopback interface."""

    def __init__(
        self,
        store: Path,
        channel_url: str,
        base: Path,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare a server.

        Args:
            store: Its directory; need not exist.
            channel_url: The address of its only channel, which it calls ``conda-forge``.
            base: The layout directory of the base image.
            settings: More settings, e.g. ``{"platforms": ["linux-64"]}``.
        """
        self.store = store
        self.port = free_port()
        #: Where it writes what it logs.
        self.log = store.with_name(f"{store.name}-{self.port}.log")
        self._settings: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "store": store,
            "channels": {"conda-forge": channel_url},
            "default_channels": ["conda-forge"],
            "base": f"oci:{base}",
            "error_ttl_seconds": ERROR_TTL_SECONDS,
            **(settings or {}),
        }
        self._daemon: Daemon | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it; its store and its log stay."""
        if self._daemon is not None:
            self._daemon.stop()

    def start(self) -> None:
        """Start it, or start it again on its port after :meth:`kill`; wait until it answers."""
        self._daemon = Daemon(command("serve"), self.log, self.environment)
        self._daemon.start(self._answers)

    def kill(self) -> None:
        """Kill its process without a warning; what it started has to end by itself."""
        if self._daemon is not None:
            self._daemon.kill_alone()

    @property
    def host(self) -> str:
        """Host and port as they stand in references."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://{self.host}"

    def reference(self, name: str) -> str:
        """Return what a client is given to pull ``env/numpy:latest``."""
        return f"{self.host}/{name}"

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        assert self._daemon is not None, "it does not run"
        return self._daemon.pid

    def log_end(self) -> str:
        """Return the end of what it logged."""
        return self._daemon.log_end() if self._daemon is not None else ""

    def metric(self, name: str) -> float:
        """Return a counter's value, summed over its labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=15).raise_for_status().text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

    def files(self) -> frozenset[str]:
        """Return the path of every file in the store; it may be at work meanwhile."""
        return frozenset(
            str(Path(directory, name).relative_to(self.store))
            for directory, _, names in os.walk(self.store)
            for name in names
        )

    def forget_errors(self) -> None:
        """Wait until an error that was answered so far is no longer remembered."""
        time.sleep(ERROR_TTL_SECONDS)

    def locked_packages(self, name: str) -> list[str]:
        """Return the packages that ``pullforge lock`` gives for a name, by file name, sorted.

        conda-lock reads the file: it is meant to be one of its own.
        """
        outcome = run(command("lock", name), env=self.environment)
        assert outcome.returncode == 0, outcome.output
        path = self.store.with_name(f"{self.store.name}-lock.yml")
        path.write_text(outcome.stdout, encoding="utf-8")
        urls = {p.url for p in parse_conda_lock_file(path).package if p.platform == "linux-64"}
        return sorted(
            url.rpartition("/")[2].removesuffix(".conda").removesuffix(".tar.bz2") for url in urls
        )

    @property
    def settings(self) -> Mapping[str, object]:
        """Its settings: those of workers that belong to it, too."""
        return self._settings

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process with its settings, e.g. of a command."""
        return settings_environment(self._settings)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


#: Starts one more server; the keyword arguments are settings.
StartServer = Callable[..., Server]


def command(*arguments: str) -> list[str]:
    """Return how ``pullforge`` is run with arguments, installed or not."""
    return [sys.executable, "-m", "registry", *arguments]


def run_checked(
    argv: Sequence[str | Path],
    environment: Mapping[str, str],
    timeout_seconds: float,
    code: int = 0,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends with ``code`` and without a traceback.

    Args:
        argv: The command.
        environment: All variables that it has.
        timeout_seconds: How long it may take.
        code: What it is to end with.
        given: Its standard input.
    """
    outcome = subprocess.run(
        argv,
        input=given,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    assert outcome.returncode == code, outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr, outcome.stderr
    return outcome


def settings_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return the variables of a process that has these settings."""
    written = {f"PULLFORGE_{name.upper()}": _text(value) for name, value in settings.items()}
    return {"PYTHONPATH": str(ROOT), **written}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
