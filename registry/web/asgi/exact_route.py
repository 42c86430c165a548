"""Routes that match their path and nothing else."""

import re
from functools import cache
from typing import Any

from starlette.convertors import Convertor
from starlette.routing import Route, compile_path


def exact_route(path: str, endpoint: Any) -> Route:
    r"""Return the route of a path; Starlette's own also matches one with a line break at its end.

    Providers have groups such as ``/staff/data``, and sources have files in folders: the name of a
    group, or file, may have slashes.

    >>> bool(exact_route("/login", object()).path_regex.match("/login\n"))
    False
    >>> exact_route("/groups/{group}", object()).path_regex.match("/groups//a/b")["group"]
    '/a/b'
    """
    # Not of the path, which would be compiled again for every application.
    route = Route("/", endpoint)
    route.path = path
    route.path_regex, route.path_format, route.param_convertors = _compiled(path)
    return route


@cache
def _compiled(path: str) -> tuple[re.Pattern[str], str, dict[str, Convertor[Any]]]:
    with_slashes = path.replace("{group}", "{group:path}").replace("{file}", "{file:path}")
    regex, path_format, convertors = compile_path(with_slashes)
    return re.compile(regex.pattern.removesuffix("$") + r"\Z"), path_format, convertors
