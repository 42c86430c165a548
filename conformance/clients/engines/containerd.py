"""containerd, in the version of Debian 12 and in a current one."""

import os
import uuid
from pathlib import Path
from typing import Self

from conformance.clients.engines.client import PULL_TIMEOUT_SECONDS, PullResult, RunFailed
from conformance.clients.engines.go_program import GoProgram
from conformance.clients.engines.home import make_home, remove_home, require
from conformance.clients.engines.program import Daemon, Outcome, run

#: The version that Kubernetes nodes get today.
CURRENT = GoProgram(
    "containerd",
    "github.com/containerd/containerd/v2",
    "v2.4.2",
    ("cmd/containerd", "cmd/containerd-shim-runc-v2", "cmd/ctr"),
    ("no_btrfs", "no_devmapper", "no_zfs"),
)

#: Version 2 of the format is read by all containerds from 1.3 on. CRI, NRI and ``opt`` are left
#: out: they use places that all containerds of a machine share.
CONFIG = """\
version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = [
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  "io.containerd.nri.v1.nri",
]

[grpc]
address = "{home}/containerd.sock"
"""


class Containerd:
    """A ``containerd`` and the ``ctr`` command that talks to it."""

    def __init__(self, name: str, program: GoProgram | None = None) -> None:
        """Prepare an engine; ``program=None`` takes what is installed on the system."""
        self.name = name
        self._program = program
        self._home = Path()
        self._path = ""
        self._user: str | None = None
        self._daemon: Daemon | None = None

    def __enter__(self) -> Self:
        """Start the daemon."""
        path = os.environ.get("PATH", os.defpath)
        self._path = f"{self._program.directory()}:{path}" if self._program else path
        require(["containerd", "ctr", "containerd-shim-runc-v2", "runc"], self._path)
        self._home = home = make_home("ctrd")
        (home / "config.toml").write_text(CONFIG.format(home=home), encoding="utf-8")
        argv = ["env", "containerd", "--config", str(home / "config.toml")]
        self._daemon = Daemon(argv, home / "containerd.log", {"PATH": self._path})
        try:
            self._daemon.start(lambda: self._ctr("version", timeout_seconds=10).returncode == 0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the daemon and delete its data."""
        if self._daemon is not None:
            self._daemon.stop()
        remove_home(self._home)

    def pull(
        self,
        reference: str,
        *,
        architecture: str = "amd64",
        timeout_seconds: float = PULL_TIMEOUT_SECONDS,
    ) -> PullResult:
        """Run ``ctr images pull``."""
        options = ["--plain-http", f"--platform=linux/{architecture}"]
        if self._user is not None:
            options.append(f"--user={self._user}")
        return PullResult.of(
            self._ctr("images", "pull", *options, reference, timeout_seconds=timeout_seconds)
        )

    def run(
        self, reference: str, *command: str, user: str | None = None, read_only: bool = False
    ) -> str:
        """Run ``ctr run`` on an image that was pulled; without ``--cni`` it has no network.

        The ``ctr`` of 1.6 cannot choose the user. Returns what went to either stream.
        """
        identity = f"run-{uuid.uuid4().hex[:12]}"
        # Written by the shim: the ``ctr`` of 2.4 closes its own pipes when the command has ended,
        # and loses what it has not read by then.
        output = self._home / f"{identity}.txt"
        options = ["--rm", f"--log-uri=file://{output}"]
        if user is not None:
            options.append(f"--user={user}")
        if read_only:
            options.append("--read-only")
        outcome = self._ctr("run", *options, reference, identity, *command, timeout_seconds=300)
        printed = output.read_text(encoding="utf-8") if output.exists() else ""
        if outcome.returncode:
            raise RunFailed(printed + outcome.output)
        return printed

    def log_end(self) -> str:
        """Return the end of what the daemon logged."""
        return self._daemon.log_end() if self._daemon is not None else ""

    def remove(self, reference: str) -> None:
        """Remove the image and what only it had."""
        self._ctr("images", "rm", "--sync", reference)

    def log_in(self, host: str, name: str, password: str) -> PullResult:
        """Use the credentials for every pull, as kubelet hands them over with each."""
        self._user = f"{name}:{password}"
        return PullResult(0, "", 0)

    def log_out(self, host: str) -> None:
        """Use none any more."""
        self._user = None

    def _ctr(self, *arguments: str, timeout_seconds: float = 120) -> Outcome:
        # ``env`` looks for ctr on the PATH it is given; Popen would look on our own.
        argv = ["env", "ctr", f"--address={self._home / 'containerd.sock'}", *arguments]
        return run(argv, env={"PATH": self._path}, timeout_seconds=timeout_seconds)
