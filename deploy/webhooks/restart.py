"""Restarts workloads of Kubernetes when the environment that they run becomes another one.

It takes events of pullforge (docs/webhooks.md). When a version is activated, all deployments,
stateful sets and daemon sets of its own namespace with these labels are rolled out anew::

    pullforge.dev/namespace: analytics
    pullforge.dev/environment: forecast

Whoever has tags such as ``analytics/forecast:latest`` with ``imagePullPolicy: Always`` runs the new
version then. An event that comes twice, or late, restarts nothing twice: what was done last is
written beside it. It needs Python alone.

Variables: ``WEBHOOK_SECRET``, as pullforge showed it; ``PORT``, 8080 by default.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

#: What Kubernetes gives to each pod that has an account.
ACCOUNT = Path(os.environ.get("ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
KINDS = ("deployments", "statefulsets", "daemonsets")
#: The event by which something was restarted last, in the annotations of its pods.
DONE = "pullforge.dev/event"
MAX_BODY = 256 * 1024
MAX_AGE_SECONDS = 300


def is_signed(secret: str, headers: Any, body: bytes) -> bool:
    """Tell whether a body is from pullforge, and from now (https://www.standardwebhooks.com)."""
    name, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (sent.isascii() and sent.isdigit()) or abs(time.time() - int(sent)) > MAX_AGE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{name}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(signed).decode()
    found = headers.get("webhook-signature", "").split(" ")
    # Several, while a secret is replaced.
    return any(hmac.compare_digest(one.encode(), expected.encode()) for one in found)


def restart(namespace: str, environment: str, event: int) -> int:
    """Roll out anew what runs an environment, and return how many workloads that were."""
    labels = {"pullforge.dev/namespace": namespace, "pullforge.dev/environment": environment}
    query = urllib.parse.urlencode({"labelSelector": ",".join(map("=".join, labels.items()))})
    here, count = (ACCOUNT / "namespace").read_text().strip(), 0
    for kind in KINDS:
        path = f"/apis/apps/v1/namespaces/{here}/{kind}"
        for one in ask("GET", f"{path}?{query}")["items"]:
            annotations = one["spec"]["template"]["metadata"].get("annotations") or {}
            if int(annotations.get(DONE, 0)) >= event:
                continue
            change = {"metadata": {"annotations": {DONE: str(event)}}}
            name = one["metadata"]["name"]
            ask("PATCH", f"{path}/{name}", {"spec": {"template": change}})
            say(f"restarted {kind}/{name}: {namespace}/{environment}")
            count += 1
    return count


def ask(method: str, path: str, body: Any = None) -> Any:
    """Ask the API server, as the account of this pod."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    scheme = os.environ.get("KUBERNETES_SCHEME", "https")
    request = urllib.request.Request(  # noqa: S310 (of the cluster alone)
        f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}",
        None if body is None else json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}",
            "Content-Type": "application/strategic-merge-patch+json",
        },
        method=method,
    )
    trusted = ssl.create_default_context(cafile=ACCOUNT / "ca.crt") if scheme == "https" else None
    with urllib.request.urlopen(request, timeout=5, context=trusted) as answer:  # noqa: S310
        return json.load(answer)


def say(text: str) -> None:
    """Write a line to the log of the pod."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes events: 204 when what they want is done, and 500 to be asked again."""

    timeout = 10

    def do_GET(self) -> None:
        """Tell that it is there."""
        self._answer(204)

    def do_POST(self) -> None:
        """Take an event."""
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY:
            self._answer(413)
            return
        body = self.rfile.read(int(length))
        if not is_signed(os.environ["WEBHOOK_SECRET"], self.headers, body):
            self._answer(401)
            return
        event = json.loads(body)
        try:
            if event["type"] == "version.activated":
                data = event["data"]
                restart(data["namespace"], data["environment"], data["id"])
        except OSError as exc:
            say(f"failed to restart: {exc}")
            self._answer(500)
            return
        self._answer(204)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8080"))
    server = http.server.ThreadingHTTPServer(("", port), Receiver)
    say(f"takes events at port {server.server_port}")
    server.serve_forever()
