"""What the addresses below ``/v2`` mean (distribution-spec, "Endpoints").

::

    /v2/                                  the API itself
    /v2/token                             bearer tokens, which no specification has a place for
    /v2/<name>/manifests/<reference>      a manifest, by tag or digest
    /v2/<name>/blobs/<digest>             a blob
    /v2/<name>/tags/list                  the tags of a repository
    /v2/<name>/referrers/<digest>         what refers to a manifest
    /v2/<name>/blobs/uploads/             where uploads begin
    /v2/<name>/blobs/uploads/<id>         an upload
    /v2/_catalog                          the repositories

A name has slashes of its own and may contain ``manifests``, so addresses are read from the end:
``/v2/a/manifests/b/manifests/c`` is the tag ``c`` of ``a/manifests/b``.
"""

from dataclasses import dataclass
from typing import Final, Literal

from registry.errors import EndpointUnknown

#: What an address leads to.
Kind = Literal[
    "api", "token", "catalog", "manifest", "blob", "tags", "referrers", "uploads", "upload"
]

PREFIX: Final = "/v2"

#: The templates of the addresses, for metrics.
TEMPLATES: Final[dict[Kind, str]] = {
    "api": "/v2/",
    "catalog": "/v2/_catalog",
    "token": "/v2/token",
    "manifest": "/v2/{name}/manifests/{reference}",
    "blob": "/v2/{name}/blobs/{digest}",
    "tags": "/v2/{name}/tags/list",
    "referrers": "/v2/{name}/referrers/{digest}",
    "uploads": "/v2/{name}/blobs/uploads/",
    "upload": "/v2/{name}/blobs/uploads/{id}",
}

_WITHOUT_NAME: Final[dict[str, Kind]] = {"": "api", "token": "token", "_catalog": "catalog"}
_KINDS: Final[dict[str, Kind]] = {
    "manifests": "manifest",
    "blobs": "blob",
    "referrers": "referrers",
    "uploads": "upload",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What an address leads to, its name not yet checked."""

    kind: Kind
    #: As it is written; empty for the API itself.
    name: str = ""
    #: A tag, a digest or the id of an upload, as it is written.
    reference: str = ""


def belongs_here(path: str) -> bool:
    """Tell whether an address is the distribution protocol's.

    >>> belongs_here("/v2"), belongs_here("/v2/x"), belongs_here("/v22")
    (True, True, False)
    """
    return path.startswith("/v2/") or path == PREFIX


def parse_path(path: str) -> Target:
    """Return what ``path`` (decoded, starting with ``/v2``) leads to.

    >>> parse_path("/v2/env/numpy/manifests/latest")
    Target(kind='manifest', name='env/numpy', reference='latest')

    Raises:
        EndpointUnknown: Nothing that the specification describes.
    """
    rest = path[len(PREFIX) + 1 :]
    if rest in _WITHOUT_NAME:
        return Target(_WITHOUT_NAME[rest])
    head, _, reference = rest.rpartition("/")
    name, _, word = head.rpartition("/")
    if word == "blobs" and reference == "uploads":  # some clients leave out the slash at the end
        return Target("uploads", name)
    if word == "uploads":
        name, _, blobs = name.rpartition("/")
        if blobs != "blobs":
            raise _unknown(path)
        if not reference:
            return Target("uploads", name)
    if word == "tags" and reference == "list":
        return Target("tags", name)
    kind = _KINDS.get(word)
    if kind is None:
        raise _unknown(path)
    return Target(kind, name, reference)


def _unknown(path: str) -> EndpointUnknown:
    return EndpointUnknown(f"there is nothing at {path[:300]!r} in the distribution protocol")
