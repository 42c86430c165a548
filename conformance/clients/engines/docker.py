"""Docker, with a daemon of its own."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from conformance.clients.engines.client import PULL_TIMEOUT_SECONDS, PullResult, RunFailed
from conformance.clients.engines.go_program import GoProgram
from conformance.clients.engines.home import make_home, remove_home, require
from conformance.clients.engines.program import Daemon, Outcome, run

#: The daemon of Docker 29, from the module's newest tag. It says its version in ``User-Agent``.
CURRENT: Final = GoProgram(
    "dockerd",
    "github.com/moby/moby/v2",
    "v2.0.0-beta.24",
    ("cmd/dockerd",),
    ("exclude_graphdriver_btrfs",),
    ("github.com/moby/moby/v2/dockerversion.Version=29.0.0",),
)


class Docker:
    """A ``dockerd`` without network, and the ``docker`` command that talks to it."""

    def __init__(self, name: str = "docker", programs: Sequence[GoProgram] = ()) -> None:
        """Prepare an engine.

        Args:
            name: What tests call it.
            programs: The daemon and the containerd it starts; else those of the system.
        """
        self.name = name
        self._programs = programs
        self._home = Path()
        self._daemon: Daemon | None = None

    def __enter__(self) -> Self:
        """Start the daemon."""
        directories = [str(program.directory()) for program in self._programs]
        path = ":".join([*directories, os.environ.get("PATH", os.defpath)])
        require(["dockerd", "docker", "containerd", "runc"], path)
        self._home = home = make_home("docker")
        (home / "config").mkdir()
        # Instead of /etc/docker/daemon.json, whose settings could contradict the flags. The runc of
        # Debian 12 knows no time namespaces, which newer daemons take for given.
        settings = {"features": {"time-namespaces": False}} if self._programs else {}
        (home / "daemon.json").write_text(json.dumps(settings), encoding="utf-8")
        argv = [
            "env",
            "dockerd",
            f"--config-file={home / 'daemon.json'}",
            "--insecure-registry=127.0.0.0/8",
            f"--data-root={home / 'data'}",
            f"--exec-root={home / 'exec'}",
            f"--pidfile={home / 'dockerd.pid'}",
            f"--host={self._host}",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
        ]
        self._daemon = Daemon(argv, home / "dockerd.log", {"PATH": path})
        try:
            self._daemon.start(lambda: self._docker("version", timeout_seconds=10).returncode == 0)
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
        """Run ``docker pull``."""
        platform = f"--platform=linux/{architecture}"
        return PullResult.of(
            self._docker("pull", platform, reference, timeout_seconds=timeout_seconds)
        )

    def load(self, path: Path) -> str:
        """Run ``docker load`` and return the name of the image."""
        outcome = self._docker("load", f"--input={path}", timeout_seconds=300)
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout.split()[-1]

    def run(
        self, reference: str, *command: str, user: str | None = None, read_only: bool = False
    ) -> str:
        """Run ``docker run`` on an image that was pulled."""
        options = ["--rm", "--pull=never", "--network=none"]
        if user is not None:
            options.append(f"--user={user}")
        if read_only:
            options.append("--read-only")
        outcome = self._docker("run", *options, reference, *command, timeout_seconds=300)
        if outcome.returncode:
            raise RunFailed(outcome.output)
        return outcome.stdout

    def execute(self, reference: str, *command: str) -> str:
        """Run ``docker exec`` in a container that does something else."""
        started = self._docker(
            "run", "--detach", "--rm", "--pull=never", "--network=none", reference, "sleep", "300"
        )
        container = started.stdout.strip()
        outcome = self._docker("exec", container, *command)
        self._docker("kill", container)
        if started.returncode or outcome.returncode:
            raise RunFailed(started.output + outcome.output)
        return outcome.stdout

    def build(self, directory: Path, reference: str) -> float:
        """Build the ``Dockerfile`` of a directory, with the host's network; return the seconds."""
        return self._must("build", "--network=host", f"--tag={reference}", str(directory))

    def push(self, reference: str) -> float:
        """Run ``docker push`` and return the seconds."""
        return self._must("push", reference)

    def publish(self, reference: str, name: str) -> PullResult:
        """Give an image that was pulled another name and run ``docker push``."""
        self._must("tag", reference, name)
        return PullResult.of(self._docker("push", name, timeout_seconds=300))

    def commit(self, reference: str, name: str, *command: str) -> None:
        """Make an image of what a command leaves in a container."""
        container = f"commit-{name.rpartition('/')[2].replace(':', '-')}"
        self._must("run", f"--name={container}", "--network=none", reference, *command)
        self._must("commit", container, name)
        self._must("rm", container)

    def log_end(self) -> str:
        """Return the end of what the daemon logged."""
        return self._daemon.log_end() if self._daemon is not None else ""

    def remove(self, reference: str) -> None:
        """Remove the image with the layers that no other image has."""
        self._docker("rmi", "--force", reference)

    def log_in(self, host: str, name: str, password: str) -> PullResult:
        """Run ``docker login``."""
        return PullResult.of(self._docker("login", f"-u={name}", f"-p={password}", host))

    def log_out(self, host: str) -> None:
        """Run ``docker logout``."""
        self._docker("logout", host)

    def image_id(self, reference: str) -> str:
        """Return the digest of the image's config."""
        return self._inspect(reference, "{{.Id}}")

    def environment(self, reference: str) -> dict[str, str]:
        """Return the variables that the image sets."""
        lines = self._inspect(reference, "{{range .Config.Env}}{{println .}}{{end}}").splitlines()
        return dict(line.split("=", 1) for line in lines if line)

    @property
    def _host(self) -> str:
        return f"unix://{self._home / 'docker.sock'}"

    def _inspect(self, reference: str, template: str) -> str:
        outcome = self._docker("image", "inspect", f"--format={template}", reference)
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout.strip()

    def _must(self, *arguments: str) -> float:
        outcome = self._docker(*arguments, timeout_seconds=600)
        assert outcome.returncode == 0, outcome.output
        return outcome.seconds

    def _docker(self, *arguments: str, timeout_seconds: float = 120) -> Outcome:
        env = {
            "DOCKER_CONFIG": str(self._home / "config"),
            "DOCKER_HOST": self._host,
            # Newer commands build with a plugin, which Debian does not have.
            "DOCKER_BUILDKIT": "0",
        }
        return run(["docker", *arguments], env=env, timeout_seconds=timeout_seconds)
