"""What people write for an environment or a namespace: ``[HOST/]NAMESPACE/NAME[:TAG]``.

Without a host it is on the server of the profile. An address with its scheme is a host, too.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote

import typer

from registry.cli.completion import complete_environment, complete_namespace

ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="HOST", help="default: the server of the last login"),
]
EnvironmentArgument = Annotated[
    str,
    typer.Argument(metavar="[HOST/]NAMESPACE/NAME", autocompletion=complete_environment),
]
TaggedArgument = Annotated[
    str,
    typer.Argument(metavar="[HOST/]NAMESPACE/NAME[:VERSION]", autocompletion=complete_environment),
]
NamespaceArgument = Annotated[
    str,
    typer.Argument(metavar="[HOST/]NAMESPACE", autocompletion=complete_namespace),
]

_SCHEME: Final = re.compile(r"(https?://)?(.*)", re.DOTALL)
#: What tells a host from a name, as with images.
_HOST: Final = re.compile(r"[.:]|^localhost$")
_NUMBER: Final = re.compile(r"v?([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class NamespacePlace:
    """A namespace on a server."""

    #: ``None``: that of the profile.
    host: str | None
    namespace: str

    @property
    def address(self) -> str:
        """Where it is, below ``/api/v1``."""
        return f"namespaces/{quote(self.namespace, safe='')}"


@dataclass(frozen=True, slots=True)
class EnvironmentPlace:
    """An environment on a server, and perhaps one of its versions."""

    #: ``None``: that of the profile.
    host: str | None
    namespace: str
    name: str
    #: What was written behind the colon.
    tag: str | None = None

    @property
    def path(self) -> str:
        """Its name on the server, e.g. ``"analytics/forecast"``."""
        return f"{self.namespace}/{self.name}"

    @property
    def written(self) -> str:
        """What people write for it, without the tag."""
        return self.path if self.host is None else f"{self.host}/{self.path}"

    @property
    def address(self) -> str:
        """Where it is, below ``/api/v1``."""
        namespace, name = quote(self.namespace, safe=""), quote(self.name, safe="")
        return f"namespaces/{namespace}/environments/{name}"

    def version(self, number: int) -> str:
        """Return where one of its versions is, below ``/api/v1``."""
        return f"{self.address}/versions/{number}"


def environment_place(text: str) -> EnvironmentPlace:
    """Return what ``text`` names.

    >>> environment_place("http://localhost:8080/analytics/forecast:v7")
    EnvironmentPlace(host='http://localhost:8080', namespace='analytics', name='forecast', tag='v7')

    Raises:
        BadParameter: It names no environment.
    """
    host, parts = _parts(text, 2, "an environment is written NAMESPACE/ENVIRONMENT")
    if len(parts) != 2 or ":" in parts[0] or not all(parts):
        raise typer.BadParameter(
            f"{text!r} names no environment: write NAMESPACE/NAME, or HOST/NAMESPACE/NAME"
        )
    name, colon, tag = parts[1].partition(":")
    if not name or (colon and not tag):
        raise typer.BadParameter(f"{text!r} has nothing before or behind its colon")
    return EnvironmentPlace(host, parts[0], name, tag or None)


def untagged_place(text: str) -> EnvironmentPlace:
    """Return what ``text`` names: an environment, and none of its versions.

    Raises:
        BadParameter: It names none, or a version of one.
    """
    place = environment_place(text)
    if place.tag is not None:
        raise typer.BadParameter(f"{text!r} names a version: leave out ':{place.tag}'")
    return place


def namespace_place(text: str) -> NamespacePlace:
    """Return what ``text`` names.

    >>> namespace_place("registry.example/analytics")
    NamespacePlace(host='registry.example', namespace='analytics')

    Raises:
        BadParameter: It names no namespace.
    """
    host, parts = _parts(text, 1, "a namespace has no '/'")
    if len(parts) != 1 or not parts[0] or ":" in parts[0]:
        raise typer.BadParameter(f"{text!r} names no namespace: write NAMESPACE, or HOST/NAMESPACE")
    return NamespacePlace(host, parts[0])


def version_number(text: str) -> int:
    """Return the number of a version, written as ``7`` or ``v7``.

    Raises:
        BadParameter: It is none.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no version: write its number, such as 7 or v7")
    return int(match[1])


def host_of(written: str | None, server: str | None) -> str | None:
    """Return the host that was said, in a name or by ``--server``.

    Raises:
        BadParameter: Both were said, and are not the same.
    """
    if written is not None and server is not None and written != server:
        raise typer.BadParameter(f"the name says {written}, and --server {server}: leave out one")
    return server if written is None else written


def _parts(text: str, expected: int, rule: str) -> tuple[str | None, list[str]]:
    """Return the host, if there is one, and the components behind it.

    Raises:
        BadParameter: There are too many slashes, and what is before the first is no host.
    """
    match = _SCHEME.fullmatch(text)
    assert match is not None
    parts = match[2].split("/")
    if match[1] is None and len(parts) == expected:
        return None, parts
    if match[1] is None and len(parts) > expected and not _HOST.search(parts[0]):
        raise typer.BadParameter(
            f"{text!r} has too many slashes: {rule}, and a host before it has a '.' or a ':', or"
            " is written http://HOST"
        )
    host = (match[1] or "") + parts[0]
    return host if parts[0] else None, parts[1:] if parts[0] else []
