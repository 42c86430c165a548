"""Every client that pushes, and what it pushes, comes back as it was."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from conformance.accounts import ADMIN, PASSWORD, Accounts
from conformance.channel import ChannelPaths
from conformance.clients.engines import Crane, Docker, EngineMissing, Podman, Skopeo
from conformance.clients.engines.oras import Oras
from conformance.clients.engines.regctl import Regctl
from conformance.clients.images import HEADERS
from conformance.clients.matrix import DOCKER_29, Engines, every
from conformance.clients.server import Server, StartServer
from conformance.missing import skip_unless_ci
from registry.auth.policy_file import RELOAD_SECONDS

SOURCE: Final = "env/click:latest"
PUSHERS: Final = ("docker", DOCKER_29, "podman")
CLICK: Final = ("python", "-c", "import click; print('here')")


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    """Return the auth file of the module's server."""
    return Accounts(tmp_path_factory.mktemp("auth") / "auth.toml")


@pytest.fixture(scope="module")
def registry(start_module_server: StartServer, accounts: Accounts) -> Server:
    """Return a server that takes pushes from those who have a right to."""
    return start_module_server(auth_file=accounts.path)


@pytest.fixture
def pusher(
    request: pytest.FixtureRequest, engines: Engines, registry: Server
) -> Iterator[Docker | Podman]:
    """Return the engine that the test is run with, with an image made here, not logged in."""
    engine = engines.get(request.param)
    assert isinstance(engine, Docker | Podman)
    assert engine.pull(registry.reference(SOURCE)).ok
    yield engine
    engine.log_out(registry.host)
    engine.remove(registry.reference(SOURCE))


@pytest.fixture
def oras(tmp_path: Path, registry: Server) -> Oras:
    """Return oras, logged in."""
    try:
        oras = Oras(tmp_path)
    except EngineMissing as missing:
        skip_unless_ci(str(missing))
    oras.log_in(registry.host, ADMIN, PASSWORD)
    return oras


@pytest.mark.parametrize("pusher", every(PUSHERS), indirect=True)
def test_what_is_pushed_is_pulled_back(pusher: Docker | Podman, registry: Server) -> None:
    """The same image, and it runs; layers that were made here are not sent again."""
    name = registry.reference(f"team/{pusher.name}:1")
    assert pusher.log_in(registry.host, ADMIN, PASSWORD).ok
    pushed = pusher.publish(registry.reference(SOURCE), name)
    assert pushed.ok, pushed.output
    if pusher.name == "docker":
        assert "Mounted from env/click" in pushed.words
    pusher.remove(name)
    pulled = pusher.pull(name)
    assert pulled.ok, pulled.output
    assert pusher.run(name, *CLICK).strip() == "here"
    if pusher.name != DOCKER_29:  # which calls the manifest's digest the image's
        assert pusher.image_id(name) == pusher.image_id(registry.reference(SOURCE))
    pusher.remove(name)


@pytest.mark.parametrize("pusher", every(PUSHERS), indirect=True)
def test_without_a_right_nothing_is_pushed(
    pusher: Docker | Podman, registry: Server, accounts: Accounts
) -> None:
    """Who is logged in is told which right is missing; nothing of it is there afterwards."""
    name = registry.reference("team/refused:1")
    pushed = pusher.publish(registry.reference(SOURCE), name)
    assert not pushed.ok
    assert re.search("log in|login|unauthorized|authentication|denied", pushed.words), pushed.words
    user = f"reader-{pusher.name}"
    accounts.add_user(user, "team/*:pull")
    time.sleep(2 * RELOAD_SECONDS)
    assert pusher.log_in(registry.host, user, PASSWORD).ok
    pushed = pusher.publish(registry.reference(SOURCE), name)
    assert not pushed.ok
    assert f"'{user}' may not push to 'team/refused'" in pushed.words or "denied" in pushed.words
    answer = httpx.get(f"{registry.url}/v2/team/refused/tags/list", auth=(ADMIN, PASSWORD))
    assert answer.status_code == 404
    pusher.remove(name)


@pytest.mark.parametrize("pusher", every(["docker"]), indirect=True)
def test_what_a_container_left_is_committed_and_pushed(pusher: Docker, registry: Server) -> None:
    """A new layer on the layers made here."""
    name = registry.reference("team/committed:1")
    pusher.commit(registry.reference(SOURCE), name, "sh", "-c", "echo kept > /kept")
    assert pusher.log_in(registry.host, ADMIN, PASSWORD).ok
    pushed = pusher.push(name)
    assert pushed > 0
    pusher.remove(name)
    assert pusher.pull(name).ok
    assert pusher.run(name, "cat", "/kept").strip() == "kept"
    pusher.remove(name)


@pytest.mark.engine("skopeo")
@pytest.mark.parametrize(
    ("options", "media_type"),
    [
        (["--format=oci"], "application/vnd.oci.image.manifest.v1+json"),
        (["--format=v2s2"], "application/vnd.docker.distribution.manifest.v2+json"),
        (["--all", "--preserve-digests"], "application/vnd.oci.image.manifest.v1+json"),
    ],
)
def test_skopeo_copies_in_every_format(
    engines: Engines, registry: Server, paths: ChannelPaths, options: list[str], media_type: str
) -> None:
    """OCI's and Docker's from a layout, and byte for byte from an image made here."""
    skopeo = engines.get("skopeo")
    assert isinstance(skopeo, Skopeo)
    assert skopeo.log_in(registry.host, ADMIN, PASSWORD).ok
    target = registry.reference("team/skopeo:1")
    is_ours = "--all" in options
    source = f"docker://{registry.reference(SOURCE)}" if is_ours else f"oci:{paths.base}:latest"
    copied = skopeo.copy(source, target, *options)
    assert copied.ok, copied.output
    url = f"{registry.url}/v2/team/skopeo/manifests/1"
    answer = httpx.get(url, headers=HEADERS, auth=(ADMIN, PASSWORD)).raise_for_status()
    assert answer.headers["content-type"] == media_type
    assert skopeo.pull(target).ok
    skopeo.remove(target)
    skopeo.log_out(registry.host)


@pytest.mark.engine("crane")
def test_crane_copies_byte_for_byte(engines: Engines, registry: Server) -> None:
    """The digest stays."""
    crane = engines.get("crane")
    assert isinstance(crane, Crane)
    crane.log_in(registry.host, ADMIN, PASSWORD)
    source, target = registry.reference(SOURCE), registry.reference("team/crane:1")
    copied = crane.copy(source, target)
    assert copied.ok, copied.output
    assert crane.digest(target) == crane.digest(source)
    assert crane.pull(target).ok
    crane.remove(target)
    crane.log_out(registry.host)


@pytest.mark.engine("oras")
def test_artifacts_are_pushed_pulled_attached_discovered_and_copied(
    oras: Oras, registry: Server, tmp_path: Path
) -> None:
    """What is attached to a copy is found there too."""
    model, report = tmp_path / "model.bin", tmp_path / "report.json"
    data = bytes(range(256)) * 1000
    model.write_bytes(data)
    report.write_text('{"accuracy": 0.9}')
    name = registry.reference("team/model:1")
    oras.push(name, model, "--artifact-type=application/vnd.example.model")
    model.unlink()
    oras.pull(name, tmp_path, "--allow-path-traversal")  # to where it was pushed from
    assert model.read_bytes() == data
    attached = oras.attach(name, report, "application/vnd.example.report")
    (found,) = oras.discover(name)["referrers"]
    assert found["digest"] == attached
    assert oras.discover(name, "--artifact-type=application/x-other")["referrers"] == []
    copy = registry.reference("team/copied/model:1")
    oras.copy(name, copy)
    (found,) = oras.discover(copy)["referrers"]
    assert found["digest"] == attached


@pytest.mark.engine("oras")
def test_signatures_and_charts_are_artifacts_like_others(
    oras: Oras, registry: Server, tmp_path: Path
) -> None:
    """A tag in the form of cosign's, and a chart with helm's media types."""
    payload, chart, config = (tmp_path / name for name in ("sig.json", "app-1.0.tgz", "chart.json"))
    payload.write_text('{"critical": {}}')
    chart.write_bytes(b"\x1f\x8b chart")
    config.write_text('{"name": "app", "version": "1.0"}')
    signature = registry.reference(f"team/model:sha256-{'a' * 64}.sig")
    oras.push(signature, payload, "--artifact-type=application/vnd.dev.cosign.artifact.sig.v1+json")
    assert _only_layer(registry, "team/model", signature.rpartition(":")[2]) == payload.read_bytes()
    helm = "application/vnd.cncf.helm"
    name = registry.reference("charts/app:1.0")
    file = f"{chart}:{helm}.chart.content.v1.tar+gzip"
    oras.push(name, Path(file), f"--config={config}:{helm}.config.v1+json")
    assert _only_layer(registry, "charts/app", "1.0") == chart.read_bytes()
    url = f"{registry.url}/v2/charts/app/manifests/1.0"
    manifest = httpx.get(url, headers=HEADERS, auth=(ADMIN, PASSWORD)).raise_for_status().json()
    assert manifest["config"]["mediaType"] == f"{helm}.config.v1+json"


@pytest.mark.engine("regctl")
def test_regctl_copies_an_image_with_what_refers_to_it(registry: Server, tmp_path: Path) -> None:
    """An image made here with its lock, SBOMs and provenance becomes an ordinary one."""
    try:
        regctl = Regctl(tmp_path)
    except EngineMissing as missing:
        skip_unless_ci(str(missing))
    regctl.log_in(registry.host, ADMIN, PASSWORD)
    source, target = registry.reference(SOURCE), registry.reference("team/regctl:1")
    regctl.copy(source, target)
    assert regctl.manifest(target) == regctl.manifest(source)
    assert regctl("tag", "ls", registry.reference("team/regctl")).split() == ["1"]
    assert "application/vnd.conda-lock.v1+yaml" in regctl("artifact", "list", target)
    regctl("tag", "delete", target)
    assert regctl("tag", "ls", registry.reference("team/regctl")).split() == []


def _only_layer(server: Server, repository: str, tag: str) -> bytes:
    """Return the bytes of an artifact that has one file."""
    url = f"{server.url}/v2/{repository}"
    with httpx.Client(headers=HEADERS, auth=(ADMIN, PASSWORD), follow_redirects=True) as client:
        manifest = client.get(f"{url}/manifests/{tag}").raise_for_status().json()
        (layer,) = manifest["layers"]
        return client.get(f"{url}/blobs/{layer['digest']}").raise_for_status().content
