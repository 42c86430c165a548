"""``oras discover`` shows lock, SBOMs and provenance of an image, and ``oras pull`` gets them."""

import json
from pathlib import Path

import httpx
import pytest

from builder.lock import from_yaml
from conformance.clients.engines import EngineMissing
from conformance.clients.engines.oras import Oras
from conformance.clients.images import HEADERS
from conformance.clients.server import Server
from conformance.forms.made import NAME, TAG, Made
from conformance.missing import skip_unless_ci

TYPES = {
    "application/vnd.conda-lock.v1+yaml",
    "application/spdx+json",
    "application/vnd.cyclonedx+json",
    "application/vnd.in-toto+json",
}


@pytest.fixture
def oras(tmp_path: Path) -> Oras:
    """Return oras."""
    try:
        return Oras(tmp_path)
    except EngineMissing as error:
        skip_unless_ci(str(error))


@pytest.fixture
def image(server: Server) -> str:
    """Return the reference of the image by digest, pulled once."""
    answer = httpx.get(
        f"{server.url}/v2/{NAME}/manifests/{TAG}",
        headers=HEADERS,
        timeout=300,
        follow_redirects=True,
    ).raise_for_status()
    return server.reference(f"{NAME}@{answer.headers['docker-content-digest']}")


def test_oras_discovers_all_artifacts(oras: Oras, image: str) -> None:
    """By the referrers API."""
    found = oras.discover(image)
    assert {one["artifactType"] for one in found["referrers"]} == TYPES


def test_oras_discovers_artifacts_of_one_type(oras: Oras, image: str) -> None:
    """The filter is the server's or the client's."""
    (found,) = oras.discover(image, "--artifact-type=application/spdx+json")["referrers"]
    assert found["artifactType"] == "application/spdx+json"


def test_oras_pulls_the_lock_and_the_sbom(
    oras: Oras, image: str, made: Made, server: Server, tmp_path: Path
) -> None:
    """As files under their names."""
    for one in oras.discover(image)["referrers"]:
        oras.pull(server.reference(f"{NAME}@{one['digest']}"), tmp_path / "files")
    files = tmp_path / "files"
    assert from_yaml((files / "conda-lock.yml").read_bytes()).key == made.lock.key
    assert (files / "conda-lock.yml").read_bytes() == made.files["lock"].read_bytes()
    (spdx,) = files.glob("*.spdx.json")
    assert json.loads(spdx.read_bytes())["spdxVersion"] == "SPDX-2.3"
    (statement,) = files.glob("*.intoto.json")
    subjects = json.loads(statement.read_bytes())["subject"]
    assert f"sha256:{subjects[0]['digest']['sha256']}" in image
