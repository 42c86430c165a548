"""Strangers who ask for what is not there: they may see more once they have logged in.

To whoever may not know of a repository, all is answered as if it had never been pushed
(:class:`registry.sources.hidden.HiddenSource`). To whoever sent no credentials, that is a
challenge, for what does not exist as well: engines send credentials after a challenge alone.
"""

from registry.sources.hidden import NOWHERE, HiddenSource
from registry.web.access import ask_strangers
from registry.web.distribution.request import RegistryRequest


async def ask_strangers_of(call: RegistryRequest) -> None:
    """Ask whoever sent a request to log in, if for them there is no such repository.

    Raises:
        Unauthorized: They sent no credentials, or wrong ones.
        TooManyLogins: They have to wait before they log in again.
    """
    if not call.source.is_writable or not call.services.access.hides:
        return
    repository = call.repository()
    is_hidden = isinstance(call.source, HiddenSource)
    if not await call.services.repositories.exists(NOWHERE if is_hidden else repository):
        await ask_strangers(call.scope, repository)
