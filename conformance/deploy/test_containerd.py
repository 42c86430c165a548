"""``deploy/containerd``: how nodes are told of the registry, read by two versions of containerd."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.clients.engines import Containerd, PullResult, containerd
from conformance.clients.engines.home import require
from conformance.clients.engines.program import Daemon, run
from conformance.clients.server import ROOT, Server
from conformance.ports import free_port

DIRECTORY = ROOT / "deploy" / "containerd"
#: The registry's name in the files. No name server knows it: only the files lead to the server.
HOST = "registry.example.com"

_NGINX = """\
daemon off;
pid {home}/nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  scgi_temp_path {home}/scgi;
  uwsgi_temp_path {home}/uwsgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {home}/tls.crt;
    ssl_certificate_key {home}/tls.key;
    location / {{
      proxy_pass {backend};
      proxy_set_header Host $http_host;
      proxy_buffering off;
    }}
  }}
}}
"""


class HostsContainerd(Containerd):
    """A containerd that is told of registries by files."""

    def pull_with(self, hosts: Path, reference: str) -> PullResult:
        """Pull by what ``hosts``, a ``certs.d`` directory, says."""
        arguments = ["images", "pull", f"--hosts-dir={hosts}", reference]
        return PullResult.of(self._ctr(*arguments, timeout_seconds=300))


@pytest.fixture(scope="module", params=["containerd-1.6", "containerd-2"])
def node(request: pytest.FixtureRequest) -> Iterator[HostsContainerd]:
    """Start containerd: that of Debian 12, and a current one."""
    program = containerd.CURRENT if request.param == "containerd-2" else None
    with HostsContainerd(request.param, program) as node:
        yield node


@pytest.fixture(scope="module")
def server(paths: ChannelPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the registry on plain HTTP."""
    store = tmp_path_factory.mktemp("server") / "store"
    with Server(store, paths.channel.as_uri(), paths.base) as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a certificate of its own CA, as administrators make them."""
    home = tmp_path_factory.mktemp("tls")
    require(["nginx", "openssl"])
    new = ["-nodes", "-days", "2", "-newkey", "rsa:2048"]
    authority, subject = ["-subj", "/CN=our own CA"], ["-subj", f"/CN={HOST}"]
    _openssl(home, "req", "-x509", *authority, *new, "-keyout", "ca.key", "-out", "ca.crt")
    (home / "names").write_text(f"subjectAltName=DNS:{HOST},IP:127.0.0.1\n", encoding="utf-8")
    _openssl(home, "req", *subject, *new, "-keyout", "tls.key", "-out", "tls.csr")
    signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    _openssl(home, "x509", "-req", "-in", "tls.csr", *signing, "-days", "2", "-out", "tls.crt")
    return home


def _openssl(home: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True)


@pytest.fixture(scope="module")
def tls_port(server: Server, certificate: Path) -> Iterator[int]:
    """Serve the registry by HTTPS through nginx."""
    port = free_port()
    text = _NGINX.format(home=certificate, port=port, backend=server.url)
    (certificate / "nginx.conf").write_text(text, encoding="utf-8")
    daemon = Daemon(["nginx", "-c", certificate / "nginx.conf"], certificate / "log", {})

    trust = ssl.create_default_context(cafile=certificate / "ca.crt")

    def answers() -> bool:
        try:
            answer = httpx.get(f"https://127.0.0.1:{port}/v2/", verify=trust, timeout=5)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    daemon.start(answers)
    yield port
    daemon.stop()


def write_hosts(kind: str, target: Path, address: str) -> Path:
    """Copy ``deploy/containerd/<kind>`` as ``certs.d``, with an address in the host's place."""
    directory = target / HOST
    directory.mkdir(parents=True)
    text = (DIRECTORY / kind / "hosts.toml").read_text(encoding="utf-8")
    changed = text.replace(f'"http://{HOST}"', f'"{address}"')
    changed = changed.replace(f'"https://{HOST}"', f'"{address}"')
    assert changed != text
    (directory / "hosts.toml").write_text(changed, encoding="utf-8")
    return target


@pytest.mark.engine("containerd")
def test_plain_http_is_used_where_the_file_says_so(
    node: HostsContainerd, server: Server, tmp_path: Path
) -> None:
    """Without the file the same reference leads nowhere."""
    reference = f"{HOST}/env/click:latest"
    pulled = node.pull_with(write_hosts("http", tmp_path / "certs.d", server.url), reference)
    assert pulled.ok, pulled.output
    node.remove(reference)
    (tmp_path / "empty").mkdir()
    assert not node.pull_with(tmp_path / "empty", reference).ok


@pytest.mark.engine("containerd")
def test_a_ca_of_ones_own_is_trusted_for_this_registry(
    node: HostsContainerd, certificate: Path, tls_port: int, tmp_path: Path
) -> None:
    """Without the CA beside the file the certificate is refused."""
    reference = f"{HOST}/env/click:latest"
    address = f"https://127.0.0.1:{tls_port}"
    hosts = write_hosts("tls", tmp_path / "certs.d", address)
    shutil.copy2(certificate / "ca.crt", hosts / HOST)
    pulled = node.pull_with(hosts, reference)
    assert pulled.ok, pulled.output
    node.remove(reference)
    bare = write_hosts("tls", tmp_path / "without", address)
    file = bare / HOST / "hosts.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('ca = "ca.crt"', ""), encoding="utf-8")
    refused = node.pull_with(bare, reference)
    assert not refused.ok
    assert "certificate" in refused.output


def test_containerd_2_reads_the_settings_of_kubelets_pulls() -> None:
    """The tables and keys of config.toml are those that it knows."""
    program = containerd.CURRENT.directory() / "containerd"
    outcome = run([program, "--config", DIRECTORY / "config.toml", "config", "dump"])
    assert outcome.returncode == 0, outcome.output
    lines = [line.strip().replace("'", '"') for line in outcome.stdout.splitlines()]
    assert 'config_path = "/etc/containerd/certs.d"' in lines
    assert any(line.startswith('image_pull_progress_timeout = "5m0s"') for line in lines)
