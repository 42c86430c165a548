"""Debian's docker-registry, the registry that most others are made from, as its package sets it."""

from pathlib import Path
from typing import Final, Self

import httpx

from builder.oci.digest import Digest
from conformance.clients.engines.program import Daemon, run
from conformance.ports import free_port

#: As Debian's ``/etc/docker/registry/config.yml``, without passwords. It logs a line for every
#: request, and so does ours.
_CONFIG: Final = """\
version: 0.1
log: {{fields: {{service: registry}}}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  headers: {{X-Content-Type-Options: [nosniff]}}
health:
  storagedriver: {{enabled: true, interval: 10s, threshold: 3}}
"""


class DockerRegistry:
    """A ``docker-registry`` on a free port, over an empty directory."""

    def __init__(self, directory: Path) -> None:
        """Prepare it; ``directory`` is for its data, its settings and its log."""
        self._port = free_port()
        config = directory / "config.yml"
        config.write_text(_CONFIG.format(root=directory / "data", port=self._port))
        self._daemon = Daemon(["docker-registry", "serve", config], directory / "log", {})

    def __enter__(self) -> Self:
        """Start it."""
        self._daemon.start(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it; its data stay."""
        self._daemon.stop()

    @property
    def host(self) -> str:
        """Host and port as they stand in references."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}"

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._daemon.pid

    def copy(self, source: str, name: str) -> str:
        """Copy an image as it is, with its digest, and return what docker is given to pull it.

        Args:
            source: As skopeo has it, e.g. ``"docker://127.0.0.1:8080/env/numpy"``.
            name: Repository and tag here.
        """
        options = ["--src-tls-verify=false"] if source.startswith("docker:") else []
        outcome = run(
            [
                *("skopeo", "copy", "--insecure-policy", "--preserve-digests", *options),
                *("--dest-tls-verify=false", source, f"docker://{self.host}/{name}"),
            ],
            timeout_seconds=600,
        )
        assert outcome.returncode == 0, outcome.output
        return f"{self.host}/{name}"

    def upload(self, repository: str, blob: bytes, digest: Digest) -> None:
        """Push a blob."""
        with httpx.Client(timeout=120) as http:
            begun = http.post(f"{self.url}/v2/{repository}/blobs/uploads/").raise_for_status()
            place = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
            http.put(place, content=blob).raise_for_status()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
