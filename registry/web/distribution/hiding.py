"""Strangers who ask for what is not there: they may see more once they have logged in.

To whoever may not know of a repository, all is answered as if it had never been pushed
(:class:`registry.sources.hidden.HiddenSource`). To whoever sent no credentials, that is a
challenge, for what does not exist as well: engines send credentials after a challenge alone.
"""

from registry.sources.hidden import NOWHERE, HiddenSource
from registry.web.access import ask_strangers
from registry.web.distribution.request import RegistryRequest
from registry.web.noting import note_hidden


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


def note_unknown(call: RegistryRequest) -> None:
    """Have it told that somebody has asked for what is not there for them.

    What is not there for anybody is left out where it is written, later: it takes as long here.
    """
    namespace = call.target.name.partition("/")[0]
    is_anothers = isinstance(call.source, HiddenSource)
    is_nobodys = not call.services.access.entitlements.is_namespace(namespace)
    if call.source.is_writable and (is_anothers or is_nobodys):
        note_hidden(call.scope, call.target.name)
