"""What a request of the protocol needs to be allowed."""

from typing import Final

from starlette.types import Scope

from registry.auth.rights import Need, Verb
from registry.content.names import parse_repository
from registry.web.access import is_hidden, require, require_login
from registry.web.distribution.paths import Kind, Target
from registry.web.services import services_of

#: What everybody is answered: that this is a registry, and where tokens are given out.
PUBLIC: Final[frozenset[Kind]] = frozenset({"api", "token"})

#: The verb of every other address, with GET for HEAD.
VERBS: Final[dict[tuple[Kind, str], Verb]] = {
    ("catalog", "GET"): "catalog",
    ("manifest", "GET"): "pull",
    ("manifest", "PUT"): "push",
    ("manifest", "DELETE"): "delete",
    ("blob", "GET"): "pull",
    ("blob", "DELETE"): "delete",
    ("tags", "GET"): "pull",
    ("referrers", "GET"): "pull",
    ("uploads", "POST"): "push",
    # Also to look how far an upload is, and to give it up: uploads are their uploaders'.
    ("upload", "GET"): "push",
    ("upload", "PATCH"): "push",
    ("upload", "PUT"): "push",
    ("upload", "DELETE"): "push",
}


async def authorize(scope: Scope, target: Target) -> bool:
    """Return if whoever sent a request, whose method the address has, may do what it asks for.

    It is decided by the name alone, before anything is looked up: the answer does not tell whether
    the repository exists.

    Returns:
        Whether they may not know of the repository: they are to be answered as if there were none.

    Raises:
        GeneratedRepository: Nobody can do this: the repository's images are made here.
        NameInvalid: There can be no such repository.
        Unauthorized: They have to log in, or to ask for a better token.
        Denied: They may not.
        TooManyLogins: They have to wait before they log in again.
    """
    if target.kind == "api":
        await require_login(scope)
    if target.kind in PUBLIC:
        return False
    verb = VERBS[target.kind, "GET" if scope["method"] == "HEAD" else scope["method"]]
    if verb == "catalog":
        await require(scope, Need(verb, None))
        return False
    repository = parse_repository(target.name)
    is_secret = await is_hidden(scope, repository)
    if verb == "pull" and is_secret:
        return True
    sources = services_of(scope).sources
    if verb != "pull" and not sources.of(repository).is_writable:
        # Where a repository that is not there would be pushed to, one learns no more.
        await require(scope, Need(verb if is_secret else "pull", repository))
        raise sources.refusal(repository)
    await require(scope, Need(verb, repository))
    return False
