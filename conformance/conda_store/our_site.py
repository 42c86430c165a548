"""Our server with people, as clients of conda-store find it."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from conformance.accounts import ADMIN
from conformance.channel import ChannelPaths
from conformance.clients.server import Server
from tests.registry.accounts import HASH, PASSWORD, write_policy

#: Somebody with a namespace of the same name, and one who has no rights.
USER: Final = "ada"
OTHER: Final = "bob"
_BUILD_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class OurSite:
    """A server that runs, and what people do there by conda-store's wire."""

    server: Server

    @property
    def url(self) -> str:
        """What is given to clients as the address of conda-store."""
        return f"{self.server.url}/conda-store"

    def send(
        self, method: str, path: str, who: str | None = USER, body: object = None
    ) -> httpx.Response:
        """Return the answer to a request below ``/conda-store``, as somebody with a password."""
        return httpx.request(
            method,
            f"{self.url}{path}",
            auth=(who, PASSWORD) if who else None,
            json=body,
            timeout=120,
        )

    def must(self, method: str, path: str, who: str | None = USER, body: object = None) -> Any:
        """Return the document of what must succeed."""
        answer = self.send(method, path, who, body)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def submit(self, text: str, namespace: str = USER, who: str = USER) -> int:
        """Have something built, and return the number of its build."""
        body = {"specification": text, "namespace": namespace}
        return int(self.must("POST", "/api/v1/specification/", who, body)["data"]["build_id"])

    def built(self, text: str, namespace: str = USER, who: str = USER) -> int:
        """Do as :meth:`submit`, and wait until the build is complete."""
        number = self.submit(text, namespace, who)
        found = self.ended(number, who)
        assert found["status"] == "COMPLETED", found
        return number

    def ended(self, number: int, who: str = USER) -> Mapping[str, Any]:
        """Return a build when it has ended."""
        deadline = time.monotonic() + _BUILD_SECONDS
        while True:
            found: Mapping[str, Any] = self.must("GET", f"/api/v1/build/{number}/", who)["data"]
            if found["status"] not in {"QUEUED", "BUILDING"}:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    def token(self, who: str = USER, **bindings: list[str]) -> str:
        """Return a token of somebody's; without bindings with all of their rights.

        Args:
            who: Whose.
            bindings: Roles by the namespace that they are for.
        """
        body: dict[str, Any] = {"primary_namespace": who}
        if bindings:
            body["role_bindings"] = {f"{name}/*": roles for name, roles in bindings.items()}
        return str(self.must("POST", "/api/v1/token/", who, body)["data"]["token"])


@contextmanager
def our_site(paths: ChannelPaths, channel_url: str, **more: object) -> Iterator[OurSite]:
    """Run a server; end it when the block is left.

    Args:
        paths: Where the channel and the base image are.
        channel_url: Where the channel is served.
        more: Settings beside, e.g. ``conda_store_ui``.
    """
    with tempfile.TemporaryDirectory(prefix="pf-conda-store-") as name:
        home = Path(name)
        rights = {ADMIN: '["**:*"]', USER: "[]", OTHER: "[]"}
        lines = (f"[users.{name}]\nhash = '{HASH}'\nrights = {may}" for name, may in rights.items())
        write_policy(home / "auth.toml", *lines)
        settings: dict[str, object] = {
            "auth_file": home / "auth.toml",
            "database": f"sqlite:///{home}/catalog.sqlite",
            "platforms": ["linux-64"],
            **more,
        }
        with Server(home / "store", channel_url, paths.base, settings) as server:
            yield OurSite(server)


def environment(name: str, *packages: str) -> str:
    """Return the ``environment.yaml`` of some packages."""
    lines = "".join(f"\n  - {package}" for package in packages)
    return f"name: {name}\nchannels:\n  - conda-forge\ndependencies:{lines}\n"


__all__ = ["ADMIN", "OTHER", "PASSWORD", "USER", "OurSite", "environment", "our_site"]
