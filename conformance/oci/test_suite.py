"""Every test of the official suite, with every option on."""

from pathlib import Path

import httpx

from conformance.accounts import ADMIN, PASSWORD
from conformance.clients.server import StartServer
from conformance.oci.suite import (
    EVERYTHING,
    READ_ONLY,
    SuiteResult,
    run_suite,
    surprises,
)
from conformance.s3 import S3Server

#: What the suite accepts.
ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
PLATFORMS = ["linux-64", "linux-aarch64"]
LOGIN = {"OCI_USERNAME": ADMIN, "OCI_PASSWORD": PASSWORD}


def check(kind: str, result: SuiteResult) -> None:
    """Assert that what is not passed is what is expected."""
    assert surprises(kind, result) == [], result.output
    assert result.passed


def test_pushing_to_a_store_on_disk(
    start_server: StartServer, auth_file: Path, results: dict[str, SuiteResult]
) -> None:
    """Every test passes with a store on disk."""
    server = start_server(auth_file=auth_file)
    results["directory"] = run_suite("directory", server.host, {**EVERYTHING, **LOGIN})
    check("push", results["directory"])


def test_pushing_to_a_store_in_s3(
    start_server: StartServer,
    auth_file: Path,
    s3_server: S3Server,
    results: dict[str, SuiteResult],
) -> None:
    """Every test passes with a store in S3, whose blobs clients get from there."""
    server = start_server(**s3_server.settings("oci"), auth_file=auth_file)
    results["s3"] = run_suite("s3", server.host, {**EVERYTHING, **LOGIN})
    check("push", results["s3"])


def test_pulling_images_made_here(
    start_server: StartServer, results: dict[str, SuiteResult]
) -> None:
    """Every test that only reads passes with images that were made when they were asked for."""
    server = start_server(platforms=PLATFORMS)
    repository = "env/numpy"
    url = f"{server.url}/v2/{repository}"
    with httpx.Client(headers={"accept": ACCEPT}, timeout=300, follow_redirects=True) as client:
        tops = {tag: client.get(f"{url}/manifests/{tag}") for tag in ("latest", "bare")}
        manifests = {top.headers["docker-content-digest"] for top in tops.values()}
        entries = [entry for top in tops.values() for entry in top.json().get("manifests", [])]
        manifests |= {entry["digest"] for entry in entries}
        found = [client.get(f"{url}/manifests/{digest}").json() for digest in sorted(manifests)]
    documents = [document for document in found if "config" in document]
    blobs = {part["digest"] for one in documents for part in [one["config"], *one["layers"]]}
    data = {
        "OCI_REPO1": repository,
        "OCI_RO_DATA_TAGS": " ".join(tops),
        "OCI_RO_DATA_MANIFESTS": " ".join(sorted(manifests)),
        "OCI_RO_DATA_BLOBS": " ".join(sorted(blobs)),
        "OCI_RO_DATA_REFERRERS": " ".join(sorted(manifests)),
    }
    results["read-only"] = run_suite("read-only", server.host, {**READ_ONLY, **data})
    check("read-only", results["read-only"])
