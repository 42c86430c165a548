"""``deploy/webhooks``: what restarts workloads of Kubernetes, and its manifests."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from standardwebhooks import Webhook

from conformance.clients.server import ROOT
from conformance.deploy.test_kubernetes import check
from conformance.ports import free_port
from registry.catalog.records import Event
from registry.catalog.webhooks import new_secret
from registry.webhooks.messages import Messages

DIRECTORY = ROOT / "deploy" / "webhooks"
SECRET = new_secret()


class Cluster:
    """An API server that has one deployment with the labels, and one without."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.patched: list[tuple[str, Any]] = []
        self.annotations: dict[str, str] = {}
        self.is_down = False
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cluster.asked.append(f"{self.headers['authorization']} {self.path}")
                url = urlsplit(self.path)
                (selector,) = parse_qs(url.query)["labelSelector"]
                wanted = "pullforge.dev/namespace=team,pullforge.dev/environment=forecast"
                is_there = url.path.endswith("/deployments") and selector == wanted
                metadata = {"annotations": cluster.annotations}
                one = {"metadata": {"name": "web"}, "spec": {"template": {"metadata": metadata}}}
                self._answer({"items": [one] if is_there else []})

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                cluster.patched.append((self.path, body))
                cluster.annotations |= body["spec"]["template"]["metadata"]["annotations"]
                self._answer({})

            def log_message(self, *_: Any) -> None:
                pass

            def _answer(self, document: Any) -> None:
                self.send_response(500 if cluster.is_down else 200)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever).start()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Start an API server."""
    cluster = Cluster()
    yield cluster
    cluster.server.shutdown()
    cluster.server.server_close()


@pytest.fixture
def receiver(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """Start the program as a pod has it, and return its address."""
    (tmp_path / "token").write_text("t0k3n\n")
    (tmp_path / "namespace").write_text("jobs")
    port = free_port()
    variables = {
        "ACCOUNT": str(tmp_path),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(cluster.server.server_port),
        "KUBERNETES_SCHEME": "http",
        "WEBHOOK_SECRET": SECRET,
        "PORT": str(port),
        "PATH": os.environ["PATH"],
    }
    # Nothing but Python's own library: as in an image of Python.
    arguments = [sys.executable, "-I", "-S", str(DIRECTORY / "restart.py")]
    process = subprocess.Popen(arguments, env=variables, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "takes events" in process.stdout.readline()
    yield f"http://127.0.0.1:{port}/"
    process.terminate()
    process.wait(10)
    process.stdout.close()


def send(url: str, number: int = 7, action: str = "version.activated", secret: str = SECRET) -> int:
    """Send an event as pullforge writes it, signed by the standard's own library."""
    place = ("team", "forecast", 3)
    event = Event(number, datetime.now(UTC), "ada", None, "", action, *place)
    message = Messages().of(event)
    now = datetime.now(UTC)
    signature = Webhook(secret).sign(message.id, now, message.document.decode())
    headers = {
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1,AAAA {signature}",
    }
    return httpx.post(url, content=message.document, headers=headers, timeout=10).status_code


def test_what_runs_an_environment_is_restarted_once_for_each_event(
    cluster: Cluster, receiver: str
) -> None:
    """Not for others, and not again for one that comes twice or late."""
    assert [send(receiver), send(receiver), send(receiver, 6)] == [204] * 3
    ((path, body),) = cluster.patched
    assert path == "/apis/apps/v1/namespaces/jobs/deployments/web"
    annotations = body["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"pullforge.dev/event": "7"}
    assert all(one.startswith("Bearer t0k3n ") for one in cluster.asked)
    assert send(receiver, 8) == 204
    assert len(cluster.patched) == 2
    assert send(receiver, 9, "version.built") == 204
    assert len(cluster.patched) == 2


def test_what_is_not_signed_is_not_taken_and_what_cannot_be_done_is_asked_again(
    cluster: Cluster, receiver: str
) -> None:
    """The sender tries again what was answered with 500."""
    assert send(receiver, secret=new_secret()) == 401
    assert httpx.post(receiver, content=b"{}").status_code == 401
    old = {"webhook-id": "evt_1", "webhook-timestamp": str(int(time.time()) - 3600)}
    assert httpx.post(receiver, content=b"{}", headers=old).status_code == 401
    assert cluster.asked == []
    assert httpx.get(receiver).status_code == 204
    cluster.is_down = True
    assert send(receiver) == 500
    cluster.is_down = False
    assert send(receiver) == 204
    assert len(cluster.patched) == 1


@pytest.mark.engine("kubeconform and others")
def test_the_manifests_are_accepted() -> None:
    """The API server takes every object, and admits its pod where the rules are strict."""
    outcome = check(DIRECTORY)
    assert outcome.returncode == 0, outcome.output
    assert sorted(name.partition("/")[0] for name in outcome.stdout.split()) == [
        *("ConfigMap", "Deployment", "NetworkPolicy", "Role", "RoleBinding", "Service"),
        "ServiceAccount",
    ]
