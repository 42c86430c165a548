"""Who may do what through the API: which right each address and method needs."""

from starlette.requests import Request

from registry.auth.rights import ALL_BUILDS, ALL_ENVIRONMENTS, Need, Verb
from registry.images.catalog import require_key
from registry.web.access import require
from registry.web.services import AppState


async def authorize(request: Request[AppState], verb: Verb) -> None:
    """Return if whoever sent the request may do this with the builds that its address names.

    It is decided by the address alone, before anything is looked up: the answer does not tell
    whether a build or a request exists.

    Raises:
        BuildUnknown: The address names what can be no build.
        Unauthorized: They have to log in.
        Denied: They may not.
        TooManyLogins: They have to wait before they log in again.
    """
    keys = [request.path_params[name] for name in ("key", "other") if name in request.path_params]
    for key in keys:
        require_key(key)
    everything = [Need(verb, ALL_ENVIRONMENTS), Need(verb, ALL_BUILDS)]
    await require(request.scope, *([Need(verb, f"build/{key}") for key in keys] or everything))
