"""Who may do what through the API: which right each address and method needs."""

from starlette.requests import Request

from registry.auth.rights import Need, Verb
from registry.web.access import require
from registry.web.services import AppState


async def authorize(request: Request[AppState], verb: Verb) -> None:
    """Return if whoever sent the request may do this with the builds that its address names.

    Raises:
        Unauthorized: They have to log in.
        Denied: They may not.
        TooManyLogins: They have to wait before they log in again.
    """
    keys = [request.path_params[name] for name in ("key", "other") if name in request.path_params]
    needs = [Need(verb, f"build/{key}") for key in keys] or [Need(verb, None)]
    await require(request.scope, *needs)
