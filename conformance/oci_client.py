"""A small OCI client for machines without a container engine: pulls, unpacks, runs.

It follows redirects and ``429`` the way engines do, verifies every digest, and unpacks layers one
over the other. It knows no whiteouts, since images made here have none.
"""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import zstandard

from builder.errors import SandboxUnavailable
from builder.sandbox.sandbox import find_sandbox

_ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"
#: Taken for a client that understands zstd.
_USER_AGENT = "containers/5.30.0 (pullforge-demo)"


class PullFailed(Exception):
    """The registry did not give the image; the message is the registry's own sentence."""


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image's documents, with its layers in a directory."""

    digest: str
    config: dict[str, Any]
    #: Lowest first; compressed as they were served.
    layers: tuple[Path, ...]


class OciClient:
    """Pulls images from one registry into a directory of blobs."""

    def __init__(self, address: str, blobs: Path, account: tuple[str, str] | None = None) -> None:
        """Make the client.

        Args:
            address: Host and port, for example ``"127.0.0.1:8080"``.
            blobs: Where blobs are kept; one that is there is not fetched again.
            account: A name and its secret; ``None``: it is nobody.
        """
        self._base = f"http://{address}/v2"
        self._blobs = blobs
        self._http = httpx.Client(
            timeout=httpx.Timeout(60),
            follow_redirects=True,
            headers={"User-Agent": _USER_AGENT},
            auth=account,
        )

    def pull(self, repository: str, reference: str = "latest", attempts: int = 20) -> PulledImage:
        """Return the image, with every blob verified.

        Raises:
            PullFailed: The registry refused, or was still building after all attempts.
        """
        response = self._manifest(repository, reference, attempts)
        manifest = json.loads(response.content)
        if "manifests" in manifest:
            response = self._manifest(repository, manifest["manifests"][0]["digest"], 1)
            manifest = json.loads(response.content)
        config = self._blob(repository, manifest["config"])
        layers = tuple(self._blob(repository, layer) for layer in manifest["layers"])
        digest = "sha256:" + hashlib.sha256(response.content).hexdigest()
        return PulledImage(digest, json.loads(config.read_bytes()), layers)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _manifest(self, repository: str, reference: str, attempts: int) -> httpx.Response:
        url = f"{self._base}/{repository}/manifests/{reference}"
        for _ in range(attempts):
            response = self._http.get(url, headers={"Accept": _ACCEPT})
            if response.status_code != 429:
                break
            time.sleep(float(response.headers.get("Retry-After", "1")))
        if response.status_code != 200:
            raise PullFailed(response.json()["errors"][0]["message"])
        return response

    def _blob(self, repository: str, descriptor: dict[str, Any]) -> Path:
        digest: str = descriptor["digest"]
        path = self._blobs / digest.replace(":", "-")
        if path.exists():
            return path
        self._blobs.mkdir(parents=True, exist_ok=True)
        seen = hashlib.sha256()
        unfinished = path.with_suffix(".part")
        with (
            self._http.stream("GET", f"{self._base}/{repository}/blobs/{digest}") as response,
            unfinished.open("wb") as file,
        ):
            response.raise_for_status()
            for chunk in response.iter_raw(1 << 20):
                seen.update(chunk)
                file.write(chunk)
        if f"sha256:{seen.hexdigest()}" != digest:
            raise PullFailed(f"the registry sent other bytes than those of {digest}")
        return unfinished.rename(path)


def unpack(image: PulledImage, root: Path) -> None:
    """Unpack the layers of ``image`` over each other into ``root``."""
    root.mkdir(parents=True)
    for layer in image.layers:
        with layer.open("rb") as file, tarfile.open(fileobj=_decompressed(file), mode="r|") as tar:
            # Not by a filter: Debian 12's Python has none.
            tar.extraction_filter = _as_it_is
            tar.extractall(root, members=filter(_is_below, tar))


def run_in(root: Path, image: PulledImage, command: list[str]) -> str:
    """Return what ``command`` prints inside ``root``, isolated by bubblewrap.

    Where user namespaces are refused, nothing can make ``root`` the root: then a program of its
    prefix runs where it is, in the sandbox of the builder, with the libraries of this machine.

    Raises:
        SandboxUnavailable: There is no sandbox either.
        subprocess.CalledProcessError: The command failed.
    """
    variables = dict(entry.split("=", 1) for entry in image.config["config"]["Env"])
    try:
        whole = [find_sandbox("bwrap").bwrap, "--bind", str(root), "/", "--dev", "/dev"]
    except SandboxUnavailable:
        prefix = root / "opt" / "conda"
        moved = [word.replace("/opt/conda", str(prefix)) for word in command]
        argv = find_sandbox("landlock").command(moved, prefix=prefix, environment=variables)
    else:
        # Not a /proc of its own, which containers let nobody make.
        argv = [*whole, "--ro-bind", "/proc", "/proc", "--unshare-user-try", "--unshare-ipc"]
        argv += ["--unshare-net", "--unshare-uts", "--clearenv", "--chdir", "/"]
        for name, value in variables.items():
            argv += ["--setenv", name, value]
        argv += command
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def _decompressed(file: BinaryIO) -> BinaryIO:
    magic = file.read(4)
    file.seek(0)
    if magic == b"\x28\xb5\x2f\xfd":
        reader: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    elif magic[:2] == b"\x1f\x8b":
        reader = gzip.GzipFile(fileobj=file)
    else:
        reader = file
    return io.BufferedReader(reader, 1 << 20)


def _as_it_is(member: tarfile.TarInfo, _path: str) -> tarfile.TarInfo:
    return member


def _is_below(member: tarfile.TarInfo) -> bool:
    """Keep entries below the root, as root's; absolute symlinks mean the image's own root."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return not member.name.startswith("/") and ".." not in member.name.split("/")
