"""Who may do what through the API: asked here, and nowhere else."""

from typing import Literal

from starlette.requests import Request

from registry.web.services import AppState

#: ``build``: have something built that is not; ``pin``: decide what is kept for ever.
Verb = Literal["build", "pin"]


async def require(_request: Request[AppState], _verb: Verb) -> None:
    """Return if whoever sent the request may do this. Everybody may: there are no users yet."""
