"""crane: the client of go-containerregistry, on which cosign, ko and kaniko are built."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Self

from conformance.clients.engines.client import PULL_TIMEOUT_SECONDS, PullResult
from conformance.clients.engines.go_program import GoProgram
from conformance.clients.engines.home import make_home, remove_home
from conformance.clients.engines.program import run

PROGRAM = GoProgram("crane", "github.com/google/go-containerregistry", "v0.22.1", ("cmd/crane",))


class Crane:
    """``crane pull`` into a tar file."""

    name = "crane"

    def __init__(self) -> None:
        self._home = Path()
        self._crane = Path()

    def __enter__(self) -> Self:
        """Build crane if it is not there yet."""
        self._crane = PROGRAM.directory() / "crane"
        self._home = make_home("crane")
        return self

    def __exit__(self, *_: object) -> None:
        """Delete what was pulled."""
        remove_home(self._home)

    def pull(
        self,
        reference: str,
        *,
        architecture: str = "amd64",
        timeout_seconds: float = PULL_TIMEOUT_SECONDS,
    ) -> PullResult:
        """Pull one platform of the image."""
        platform = f"--platform=linux/{architecture}"
        argv = [str(self._crane), "pull", "--insecure", platform, reference]
        return PullResult.of(
            run([*argv, self._tar(reference)], env=self._env, timeout_seconds=timeout_seconds)
        )

    def copy(self, source: str, target: str) -> PullResult:
        """Copy an image, with all its platforms, from one name in a registry to another."""
        argv = [str(self._crane), "copy", "--insecure", source, target]
        return PullResult.of(run(argv, env=self._env, timeout_seconds=300))

    def digest(self, reference: str) -> str:
        """Return the digest that a name leads to."""
        argv = [str(self._crane), "digest", "--insecure", reference]
        return run(argv, env=self._env).stdout.strip()

    def remove(self, reference: str) -> None:
        """Delete the tar file."""
        self._tar(reference).unlink(missing_ok=True)

    def log_in(self, host: str, name: str, password: str) -> PullResult:
        """Write what an ``imagePullSecret`` holds; ``crane auth login`` verifies nothing."""
        auths = {host: {"username": name, "password": password}}
        (self._home / "config.json").write_text(json.dumps({"auths": auths}), encoding="utf-8")
        return PullResult(0, "", 0)

    def log_out(self, host: str) -> None:
        """Delete it."""
        (self._home / "config.json").unlink(missing_ok=True)

    @property
    def _env(self) -> dict[str, str]:
        return {"HOME": str(self._home), "DOCKER_CONFIG": str(self._home)}

    def _tar(self, reference: str) -> Path:
        return self._home / (sha256(reference.encode()).hexdigest()[:16] + ".tar")
