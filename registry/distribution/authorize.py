"""What a request of the protocol needs to be allowed."""

from typing import Final
from urllib.parse import parse_qs

from starlette.types import Scope

from registry.auth.rights import Need, Verb
from registry.content.names import parse_repository
from registry.distribution.paths import Kind, Target
from registry.errors import Unsupported
from registry.web.access import require, require_login
from registry.web.services import services_of

#: The verb of every address that names a repository; there are no others.
_VERBS: Final[dict[tuple[Kind, str], Verb]] = {
    ("manifest", "GET"): "pull",
    ("manifest", "HEAD"): "pull",
    ("manifest", "PUT"): "push",
    ("manifest", "DELETE"): "delete",
    ("blob", "GET"): "pull",
    ("blob", "HEAD"): "pull",
    ("blob", "DELETE"): "delete",
    ("tags", "GET"): "pull",
    ("tags", "HEAD"): "pull",
    ("referrers", "GET"): "pull",
    ("referrers", "HEAD"): "pull",
    # Also to look how far an upload is, and to give it up: uploads are their uploaders'.
    ("upload", "POST"): "push",
    ("upload", "PATCH"): "push",
    ("upload", "PUT"): "push",
    ("upload", "GET"): "push",
    ("upload", "HEAD"): "push",
    ("upload", "DELETE"): "push",
}

#: The methods of the addresses without one.
_UNNAMED: Final[dict[Kind, frozenset[str]]] = {
    "api": frozenset({"GET", "HEAD"}),
    "token": frozenset({"GET", "POST"}),
}

_GENERATED: Final = (
    "nothing can be pushed to this repository or deleted from it: the registry makes its images"
    " itself, from the conda packages that their names list"
)


async def authorize(scope: Scope, target: Target) -> None:
    """Return if whoever sent a request may do what it asks for.

    It is decided by the name alone, before anything is looked up: the answer does not tell whether
    the repository exists.

    Raises:
        Unsupported: Nobody can do this: the protocol has no such method there, or the repository's
            images are made here.
        NameInvalid: There can be no such repository.
        Unauthorized: They have to log in, or to ask for a better token.
        Denied: They may not.
        TooManyLogins: They have to wait before they log in again.
    """
    method = scope["method"]
    verb = _VERBS.get((target.kind, method))
    if verb is not None:
        repository = parse_repository(target.name)
        if verb != "pull" and services_of(scope).pulls.is_generated(repository):
            raise Unsupported(_GENERATED)
        await require(scope, Need(verb, repository), *_sources(scope, target))
    elif method not in _UNNAMED.get(target.kind, ()):
        raise Unsupported(f"the distribution protocol has no {method[:20]} there")
    elif target.kind == "api":
        await require_login(scope)


def _sources(scope: Scope, target: Target) -> list[Need]:
    """Return what else is needed to mount a blob: who may pull from the target gets it then."""
    if target.kind != "upload" or scope["method"] != "POST":
        return []
    query = parse_qs(scope["query_string"].decode("latin-1"))
    return [Need("pull", parse_repository(name)) for name in query.get("from", ())]
