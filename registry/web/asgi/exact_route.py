"""Routes that match their path and nothing else."""

import re
from typing import Any

from starlette.routing import Route


def exact_route(path: str, endpoint: Any) -> Route:
    r"""Return the route of a path; Starlette's own also matches one with a line break at its end.

    Providers have groups such as ``/staff/data``, and sources have files in folders: the name of a
    group, or file, may have slashes.

    >>> bool(exact_route("/login", object()).path_regex.match("/login\n"))
    False
    >>> exact_route("/groups/{group}", object()).path_regex.match("/groups//a/b")["group"]
    '/a/b'
    """
    with_slashes = path.replace("{group}", "{group:path}").replace("{file}", "{file:path}")
    route = Route(with_slashes, endpoint)
    route.path = path
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route
