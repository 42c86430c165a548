"""Routes that match their path and nothing else."""

import re
from typing import Any

from starlette.routing import Route


def exact_route(path: str, endpoint: Any) -> Route:
    r"""Return the route of a path; Starlette's own also matches one with a line break at its end.

    >>> bool(exact_route("/login", object()).path_regex.match("/login\n"))
    False
    """
    route = Route(path, endpoint)
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route
