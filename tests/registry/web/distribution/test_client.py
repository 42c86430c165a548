import itertools

import pytest

from builder.build.image import Flavour
from builder.oci.models import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from registry.web.asgi.headers import headers_of
from registry.web.distribution.client import Negotiated, negotiate, unpacks_zstd

ZSTD = "containerd/1.7.13"

# As docker 20.10 sends them: docs/clients.md, section 1.
SIX_LINES = (
    DOCKER_MANIFEST,
    DOCKER_LIST,
    OCI_MANIFEST,
    OCI_INDEX,
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/json",
)


def wanted(*accept: str, user_agent: str = "") -> Negotiated:
    lines = [(b"accept", line.encode()) for line in accept]
    return negotiate(headers_of({"headers": [*lines, (b"user-agent", user_agent.encode())]}))


@pytest.mark.parametrize(
    "user_agent",
    [
        "containers/5.23.1 (github.com/containers/image)",
        "containers/5.36.0 (github.com/containers/image)",
        "libpod/4.3.1",
        "podman/5.2.0",
        "Buildah/1.28.2",
        "skopeo/1.9.3",
        "mirror-tool skopeo/1.14.0",
        "cri-o/1.29.1 go/go1.21.7 os/linux arch/amd64",
        "containerd/1.6.20~ds1",
        "containerd/v2.1.4+unknown",
        "containerd/1.5.0",
        "nerdctl/2.0.0",
        "buildkit/v0.12",
        "docker/23.0.1 go/go1.19.5 os/linux UpstreamClient(Docker-Client/23.0.1 \\(linux\\))",
        "docker/29.0.0 go/go1.25 os/linux arch/arm64 containerd-client/2.1",
        "go-containerregistry/v0.20.2",
        "crane/v0.20.2 go-containerregistry/v0.20.2",
        "oras-go",
        "oras/1.2.0 (linux; amd64)",
    ],
)
def test_an_engine_known_to_unpack_zstd_gets_zstd(user_agent: str) -> None:
    assert unpacks_zstd(user_agent)
    assert wanted("*/*", user_agent=user_agent).flavour == "oci-zstd"


@pytest.mark.parametrize(
    "user_agent",
    [
        "",
        "docker/20.10.24+dfsg1 go/go1.19.8 UpstreamClient(Docker-Client/28.2.2 \\(linux\\))",
        "docker/18.09",
        "docker/dev",
        "docker/",
        "docker",
        "containerd/1.4.0+unknown",
        "containerd/1.4.13",
        "containers/4.0.1 (github.com/containers/image)",
        "containers (github.com/containers/image)",
        "go-containerregistry/v0.12.1",
        "curl/8.5.0",
        "python-requests/2.31",
        "Mozilla/5.0 (X11; Linux x86_64) containerd/9x",
        "something (containerd/2.0.0)",
        "notdocker/99",
        "x/containerd/2.0",
        "containerd/٢.0",
        "docker/" + "9" * 5000,
    ],
)
def test_any_other_client_gets_gzip(user_agent: str) -> None:
    assert not unpacks_zstd(user_agent[:2000])


@pytest.mark.parametrize(
    ("accept", "flavour", "index"),
    [
        ((), "oci-zstd", True),
        (("*/*",), "oci-zstd", True),
        (("application/*",), "oci-zstd", True),
        (("application/json",), "oci-zstd", True),
        ((OCI_MANIFEST,), "oci-zstd", False),
        ((OCI_INDEX,), "oci-zstd", True),
        ((OCI_MANIFEST, OCI_INDEX), "oci-zstd", True),
        ((f"{OCI_MANIFEST}, {OCI_INDEX}",), "oci-zstd", True),
        ((OCI_MANIFEST, "*/*"), "oci-zstd", True),
        ((DOCKER_MANIFEST,), "docker-gzip", False),
        ((DOCKER_MANIFEST, DOCKER_LIST), "docker-gzip", True),
        ((DOCKER_LIST,), "docker-gzip", True),
        ((DOCKER_MANIFEST, "application/json"), "docker-gzip", False),
        ((f"{DOCKER_MANIFEST}, */*",), "oci-zstd", True),
        ((DOCKER_MANIFEST, OCI_MANIFEST), "oci-zstd", False),
        ((DOCKER_MANIFEST, f"{OCI_MANIFEST};q=0"), "docker-gzip", False),
        ((f"{DOCKER_MANIFEST}, {OCI_MANIFEST};q=0.5",), "oci-zstd", False),
        ((DOCKER_MANIFEST.upper(),), "docker-gzip", False),
        ((", ,;q=1", ""), "oci-zstd", True),
    ],
)
def test_accept_decides_media_types(
    accept: tuple[str, ...], flavour: Flavour, *, index: bool
) -> None:
    assert wanted(*accept, user_agent=ZSTD) == Negotiated(flavour, index)


def test_the_order_of_lines_does_not_matter() -> None:
    """Docker sends them in random order."""
    answers = {wanted(*lines, user_agent=ZSTD) for lines in itertools.permutations(SIX_LINES)}
    assert answers == {Negotiated("oci-zstd", index=True)}
