"""How environments are doing, as commands show it; older servers do not tell."""

from typing import Any

from rich.filesize import decimal

from registry.cli.api import Api, Document, Refused
from registry.cli.output import time_of

_DETAILS = {"details": "true"}


async def detailed(api: Api, path: str) -> Document:
    """Return an environment with how it is doing."""
    try:
        return await api.get(path, _DETAILS)
    except Refused as refused:
        if not _knows_no_details(refused):
            raise
        return await api.get(path)


async def listed(api: Api, path: str, query: dict[str, Any], limit: int | None) -> Document:
    """Return a list of environments with how each is doing."""
    try:
        return await api.all(path, query | _DETAILS, limit)
    except Refused as refused:
        if not _knows_no_details(refused):
            raise
        return await api.all(path, query, limit)


def details_of(environment: Document) -> Document:
    """Return how an environment is doing; empty, where the server did not tell."""
    found = environment.get("details")
    return found if isinstance(found, Document) else Document()


def how_it_is(environment: Document) -> dict[str, object]:
    """Return how an environment is doing by titles; nothing of a version."""
    details = details_of(environment)
    if not details:
        return {}
    newest = details.get("newest")
    found: dict[str, object] = {}
    if isinstance(newest, Document):
        found |= {"newest": f"v{newest['number']} {newest['state']}", "why": newest["message"]}
    return found | {
        "packages": details["packages"],
        "size": size_of(environment),
        "last used": time_of(details["last_used_at"]),
        "findings": details["findings"],
        "blocked": details["blocked"],
    }


def newest_of(environment: Document) -> str | None:
    """Return the newest version and how far it is, where it is not the active one."""
    newest = details_of(environment).get("newest")
    if not isinstance(newest, Document) or newest["number"] == environment["active"]:
        return None
    percent = f" {newest['percent']} %" if newest["percent"] else ""
    return f"v{newest['number']} {newest['state']}{percent}"


def size_of(environment: Document) -> str | None:
    """Return what the image of the active version takes, for people."""
    size_bytes = details_of(environment).get("size_bytes")
    return decimal(size_bytes) if isinstance(size_bytes, int) else None


def _knows_no_details(refused: Refused) -> bool:
    """Tell whether a server is older than what is asked of it."""
    return refused.code == "PARAMETER_INVALID" and "'details'" in str(refused)
