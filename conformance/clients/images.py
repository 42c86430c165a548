"""The images that the tests pull, and what the server says of them over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from conformance.channel import HUNDRED
from conformance.clients.server import Server

#: The types of manifests there are.
ACCEPT: Final = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.docker.distribution.manifest.v2+json"
)

#: What podman and skopeo send; tells the server that zstd is understood.
USER_AGENT: Final = "containers/5.23.1 (github.com/containers/image)"

#: The headers of a client of today.
HEADERS: Final = {"Accept": ACCEPT, "User-Agent": USER_AGENT}

#: Two packages and all they need.
SIMPLE: Final = "env/numpy.pandas:latest"
#: Versions, an operator, both separators and a part in the tag.
VERSIONED: Final = "env/python.3.11.numpy.ge.1.26/pandas:py3.11"
#: A package whose name has the separator in it.
DOTTED: Final = "env/ruamel.yaml.click:latest"
#: Packages as they were on a day.
DATED: Final = "env/numpy.click:2025-05-31-py3.11"
#: An environment of over a hundred packages.
LARGE: Final = f"env/{'/'.join(HUNDRED)}:latest"
#: Small packages that each show one thing that is hard to get right.
SPECIAL: Final = (
    "env/activatedemo.bzip2-tools.clobber-a.clobber-b.emptydirdemo.hardlinkdemo"
    "/linkdir-folder.linkdir-link.postlinkdemo.shebangdemo.symlinkdemo:py3.11"
)
#: Data of two libraries, whose activation scripts say where it lies.
MAPS: Final = "env/libgdal:latest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index, as the server answered it."""

    digest: str
    media_type: str
    content: Mapping[str, Any]


def fetch_manifest(server: Server, name: str, reference: str | None = None) -> Manifest:
    """Return what is behind a name, e.g. ``env/numpy:latest``.

    Args:
        server: Whom to ask.
        name: Repository and tag.
        reference: A digest to ask for instead of the tag.
    """
    answer = get_manifest(server, name, reference).raise_for_status()
    return Manifest(
        answer.headers["Docker-Content-Digest"], answer.headers["Content-Type"], answer.json()
    )


def get_manifest(server: Server, name: str, reference: str | None = None) -> httpx.Response:
    """Return the server's answer, error or not, after all redirects."""
    repository, _, tag = name.partition(":")
    url = f"{server.url}/v2/{repository}/manifests/{reference or tag}"
    return httpx.get(url, headers=HEADERS, follow_redirects=True, timeout=120)


def error_message(server: Server, name: str) -> str:
    """Return the sentence with which the server refuses a name."""
    answer = get_manifest(server, name)
    assert 400 <= answer.status_code < 500, f"{answer.status_code}: {answer.text}"
    message: str = answer.json()["errors"][0]["message"]
    return message
