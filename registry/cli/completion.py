"""What shells offer behind ``pullforge env show``: names that the server knows.

Nothing is offered where the server is unknown, slow or down, and nothing is said of it: a shell
that completes has nowhere to write.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import httpx
import typer

from registry.auth.authorities import trusted_authorities
from registry.cli.profile import load
from registry.cli.remote import RemoteError

#: How long a shell waits, at most.
_SECONDS: Final = 0.8
_MOST: Final = 100


def complete_environment(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the environments whose names begin so, with the host in front if one was written."""
    server = ctx.params.get("server")
    return within(lambda: _environments(server, incomplete))


def complete_namespace(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the namespaces whose names begin so."""
    server = ctx.params.get("server")
    return within(lambda: _namespaces(server, incomplete))


def within(work: Callable[[], list[str]], seconds: float = _SECONDS) -> list[str]:
    """Return what ``work`` returns, or nothing if it fails or takes too long.

    It runs in a thread that nobody waits for: looking up a host's address cannot be bounded.
    """
    found: list[str] = []

    def run() -> None:
        try:
            found.extend(work())
        except (httpx.HTTPError, httpx.InvalidURL, RemoteError, OSError, LookupError):
            return
        except (TypeError, ValueError, AttributeError):
            # What answers is no pullforge server.
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return [] if thread.is_alive() else found


def _environments(server: str | None, incomplete: str) -> list[str]:
    # As in :mod:`registry.cli.places`: three components have a host in front.
    scheme, _, rest = incomplete.rpartition("://")
    parts = rest.split("/")
    host = "/".join(parts[:-2])
    before = f"{scheme}://{host}/" if scheme else f"{host}/" if host else ""
    begun = incomplete.removeprefix(before)
    search = begun.rpartition("/")[2]
    items = _items(before.rstrip("/") or server, "environments", search)
    return [before + one["path"] for one in items if one["path"].startswith(begun)]


def _namespaces(server: str | None, incomplete: str) -> list[str]:
    host, slash, begun = incomplete.rpartition("/")
    items = _items(host or server, "namespaces", begun)
    return [host + slash + one["slug"] for one in items if one["slug"].startswith(begun)]


def _items(server: str | None, what: str, search: str) -> list[dict[str, Any]]:
    profile = load(server)
    headers = {"authorization": f"Bearer {profile.token}"} if profile.token else {}
    query = {"limit": str(_MOST), "search": search}
    reply = httpx.get(
        f"{profile.server}/api/v1/{what}",
        params=query,
        headers=headers,
        timeout=_SECONDS,
        verify=trusted_authorities(),
    )
    items: list[dict[str, Any]] = reply.raise_for_status().json()["items"]
    return items
