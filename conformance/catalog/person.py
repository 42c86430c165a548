"""Somebody who uses the API and pulls images, from whichever server."""

import json
import time
from typing import Any, Final

import httpx

from conformance.accounts import PASSWORD
from conformance.clients.images import HEADERS
from conformance.clients.server import Server

#: Where the API's addresses begin.
API: Final = "/api/v1"
#: Longer than any version here takes, also if its server is killed and another takes it up.
_VERSION_SECONDS: Final = 180


class Person:
    """A name and a secret; each request has a connection of its own, as after a break."""

    def __init__(self, name: str, secret: str = PASSWORD) -> None:
        """Know who it is; ``secret`` is a password or a token."""
        self.name = name
        self.secret = secret

    def send(
        self, server: Server, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        """Return the answer to a request below ``/api/v1``.

        Args:
            server: Whom to ask.
            method: The method.
            path: After ``/api/v1``.
            body: Bytes are sent as they are, everything else as JSON.
            headers: More of them; ``_`` stands for ``-``.

        Raises:
            httpx.TransportError: The server does not answer, or ended.
        """
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        return httpx.request(
            method,
            f"{server.url}{API}{path}",
            content=data,
            auth=(self.name, self.secret),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=90,
        )

    def must(
        self, server: Server, method: str, path: str, body: object = None, **headers: str
    ) -> Any:
        """Do as :meth:`send`, and return the document of what must succeed."""
        answer = self.send(server, method, path, body, **headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def version(self, server: Server, path: str, number: int) -> Any:
        """Return a version when it has ended."""
        deadline = time.monotonic() + _VERSION_SECONDS
        while True:
            found = self.must(server, "GET", f"{environment(path)}/versions/{number}")
            if found["state"] not in {"queued", "building"}:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def build(self, server: Server, path: str, specification: bytes) -> Any:
        """Return a new version of an environment, built; the first makes the environment, too."""
        namespace, _, name = path.partition("/")
        answer = self.send(server, "POST", f"{environment(path)}/versions", specification)
        if answer.status_code == 404:
            made = f"/namespaces/{namespace}/environments?name={name}"
            number = self.must(server, "POST", made, specification)["version"]["number"]
        else:
            assert answer.status_code in {201, 202}, answer.text
            number = answer.json()["number"]
        found = self.version(server, path, number)
        assert found["state"] == "built", found
        return found

    def activate(self, server: Server, path: str, number: int) -> None:
        """Make a version the active one."""
        self.must(server, "PUT", f"{environment(path)}/active", {"version": number})

    def manifest(self, server: Server, name: str) -> httpx.Response:
        """Return the answer for an image, e.g. ``"ada/notebook:v1"``."""
        repository, _, tag = name.partition(":")
        return httpx.get(
            f"{server.url}/v2/{repository}/manifests/{tag}",
            auth=(self.name, self.secret),
            headers=HEADERS,
            follow_redirects=True,
            timeout=90,
        )

    def digest(self, server: Server, name: str) -> str:
        """Return the digest of an image that must be there."""
        answer = self.manifest(server, name)
        assert answer.status_code == 200, f"{name}: {answer.status_code} {answer.text}"
        return answer.headers["docker-content-digest"]

    def key(self, server: Server, name: str) -> str:
        """Return the key of the build that an image is of."""
        answer = self.manifest(server, name)
        assert answer.status_code == 200, f"{name}: {answer.status_code} {answer.text}"
        return answer.headers["pullforge-build"]


def environment(path: str) -> str:
    """Return the address of an environment after ``/api/v1``.

    >>> environment("ada/notebook")
    '/namespaces/ada/environments/notebook'
    """
    namespace, _, name = path.partition("/")
    return f"/namespaces/{namespace}/environments/{name}"


def sentence(answer: httpx.Response, status: int) -> str:
    """Assert that a request was refused with a status and one sentence, and return that."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    document = answer.json()
    message: str = (document.get("error") or document["errors"][0])["message"]
    assert message, document
    assert "\n" not in message, document
    return message


def specification(*packages: str, **variables: str) -> bytes:
    """Return what a version is asked for by; other variables make another build of it."""
    return json.dumps({"specs": list(packages), "variables": variables}).encode()
