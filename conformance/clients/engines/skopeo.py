"""Skopeo, which copies images into directories."""

import shutil
from hashlib import sha256
from pathlib import Path
from typing import Self

from conformance.clients.engines.client import PULL_TIMEOUT_SECONDS, PullResult
from conformance.clients.engines.home import make_home, remove_home, require
from conformance.clients.engines.program import run


class Skopeo:
    """``skopeo copy`` from the registry into an OCI layout."""

    name = "skopeo"

    def __init__(self) -> None:
        self._home = Path()

    def __enter__(self) -> Self:
        """Make its directory."""
        require(["skopeo"])
        self._home = make_home("skopeo")
        return self

    def __exit__(self, *_: object) -> None:
        """Delete its directory."""
        remove_home(self._home)

    def pull(
        self,
        reference: str,
        *,
        architecture: str = "amd64",
        timeout_seconds: float = PULL_TIMEOUT_SECONDS,
    ) -> PullResult:
        """Copy one platform of the image into a layout of its own."""
        argv = [
            "skopeo",
            "--insecure-policy",
            f"--override-arch={architecture}",
            "--override-os=linux",
            "copy",
            "--src-tls-verify=false",
            f"docker://{reference}",
            f"oci:{self.layout(reference)}:image",
        ]
        return PullResult.of(run(argv, env=self._env, timeout_seconds=timeout_seconds))

    def copy(self, source: str, target: str, *options: str) -> PullResult:
        """Copy an image to a name in a registry, from e.g. ``oci:/directory:name``."""
        argv = ["skopeo", "--insecure-policy", "--override-os=linux", "copy"]
        argv += ["--src-tls-verify=false", "--dest-tls-verify=false", *options]
        argv += [source, f"docker://{target}"]
        return PullResult.of(run(argv, env=self._env, timeout_seconds=300))

    def remove(self, reference: str) -> None:
        """Delete the image's layout."""
        shutil.rmtree(self.layout(reference), ignore_errors=True)

    def log_in(self, host: str, name: str, password: str) -> PullResult:
        """Run ``skopeo login``."""
        argv = ["skopeo", "login", "--tls-verify=false", f"-u={name}", f"-p={password}", host]
        return PullResult.of(run(argv, env=self._env))

    def log_out(self, host: str) -> None:
        """Run ``skopeo logout``."""
        run(["skopeo", "logout", host], env=self._env)

    @property
    def _env(self) -> dict[str, str]:
        home = str(self._home)
        return {"HOME": home, "XDG_RUNTIME_DIR": home, "REGISTRY_AUTH_FILE": f"{home}/auth.json"}

    def layout(self, reference: str) -> Path:
        """Return where the image is copied to: an OCI layout with one image."""
        return self._home / sha256(reference.encode()).hexdigest()[:16]
