"""Podman, with storage and settings of its own."""

import json
from pathlib import Path
from typing import Self

from conformance.clients.engines.client import PULL_TIMEOUT_SECONDS, PullResult, RunFailed
from conformance.clients.engines.home import make_home, remove_home, require
from conformance.clients.engines.program import Outcome, run

#: Locks in files, since those in shared memory are one for all of a user's podmans.
#: No journal, systemd or network is needed, and ulimits may not be raised in a container.
CONTAINERS_CONF = """\
[containers]
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
log_driver = "k8s-file"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
"""


class Podman:
    """The ``podman`` command; there is no daemon."""

    name = "podman"

    def __init__(self) -> None:
        self._home = Path()

    def __enter__(self) -> Self:
        """Make its directories."""
        require(["podman", "runc", "conmon"])
        self._home = make_home("podman")
        (self._home / "tmp").mkdir()
        (self._home / "containers.conf").write_text(CONTAINERS_CONF, encoding="utf-8")
        (self._home / "auth.json").write_text("{}", encoding="utf-8")
        (self._home / "registries.conf").write_text("", encoding="utf-8")
        (self._home / "policy.json").write_text(
            json.dumps({"default": [{"type": "insecureAcceptAnything"}]}), encoding="utf-8"
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Delete its directories."""
        self._podman("rm", "--all", "--force")
        remove_home(self._home)

    def pull(
        self,
        reference: str,
        *,
        architecture: str = "amd64",
        timeout_seconds: float = PULL_TIMEOUT_SECONDS,
    ) -> PullResult:
        """Run ``podman pull``."""
        options = [
            "--tls-verify=false",
            f"--arch={architecture}",
            f"--signature-policy={self._home / 'policy.json'}",
        ]
        return PullResult.of(
            self._podman("pull", *options, reference, timeout_seconds=timeout_seconds)
        )

    def load(self, path: Path) -> str:
        """Run ``podman load`` and return the name of the image."""
        policy = f"--signature-policy={self._home / 'policy.json'}"
        outcome = self._podman("load", policy, f"--input={path}", timeout_seconds=300)
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout.split()[-1]

    def run(
        self, reference: str, *command: str, user: str | None = None, read_only: bool = False
    ) -> str:
        """Run ``podman run`` on an image that was pulled."""
        options = ["--rm", "--pull=never"]
        if user is not None:
            options.append(f"--user={user}")
        if read_only:
            options += ["--read-only", "--read-only-tmpfs=false"]
        outcome = self._podman("run", *options, reference, *command, timeout_seconds=300)
        if outcome.returncode:
            raise RunFailed(outcome.output)
        return outcome.stdout

    def execute(self, reference: str, *command: str) -> str:
        """Run ``podman exec`` in a container that does something else."""
        started = self._podman("run", "--detach", "--rm", "--pull=never", reference, "sleep", "300")
        container = started.stdout.strip()
        outcome = self._podman("exec", container, *command)
        self._podman("kill", container)
        if started.returncode or outcome.returncode:
            raise RunFailed(started.output + outcome.output)
        return outcome.stdout

    def publish(self, reference: str, name: str) -> PullResult:
        """Run ``podman push`` for an image that was pulled, under another name."""
        argv = ("push", "--tls-verify=false", reference, f"docker://{name}")
        return PullResult.of(self._podman(*argv, timeout_seconds=300))

    def remove(self, reference: str) -> None:
        """Remove the image with the layers that no other image has."""
        self._podman("rmi", "--force", reference)

    def log_in(self, host: str, name: str, password: str) -> PullResult:
        """Run ``podman login``."""
        credentials = [f"-u={name}", f"-p={password}"]
        return PullResult.of(self._podman("login", "--tls-verify=false", *credentials, host))

    def log_out(self, host: str) -> None:
        """Run ``podman logout``."""
        self._podman("logout", host)

    def image_id(self, reference: str) -> str:
        """Return the digest of the image's config."""
        return "sha256:" + self._inspect(reference, "{{.Id}}")

    def environment(self, reference: str) -> dict[str, str]:
        """Return the variables that the image sets."""
        lines = self._inspect(reference, "{{range .Config.Env}}{{println .}}{{end}}").splitlines()
        return dict(line.split("=", 1) for line in lines if line)

    def _inspect(self, reference: str, template: str) -> str:
        outcome = self._podman("image", "inspect", f"--format={template}", reference)
        assert outcome.returncode == 0, outcome.output
        return outcome.stdout.strip()

    def _podman(self, *arguments: str, timeout_seconds: float = 120) -> Outcome:
        home = self._home
        env = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "REGISTRY_AUTH_FILE": str(home / "auth.json"),
            "TMPDIR": str(home / "tmp"),
            "CONTAINERS_CONF": str(home / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf"),
        }
        options = [
            f"--root={home / 'root'}",
            f"--runroot={home / 'run'}",
            f"--tmpdir={home / 'tmp'}",
            "--storage-driver=overlay",
        ]
        argv = ["podman", *options, *arguments]
        return run(argv, env=env, timeout_seconds=timeout_seconds)
