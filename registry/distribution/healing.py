"""What is asked for by digest and gone from the store is made again: the store is a cache."""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp

from builder.oci.digest import is_digest, parse_digest
from registry.distribution.handlers import Call
from registry.errors import BlobUnknown, ManifestUnknown, StillBuilding
from registry.web.gone import unless_gone
from registry.web.waiting import wait_answer

Handler = Callable[[Call], Awaitable[ASGIApp]]


def healing(handler: Handler, *, hop_seconds: float) -> Handler:
    """Return ``handler`` with a second try after what it did not find has been made again.

    A client waits for that as for any build.
    """

    async def answer(call: Call) -> ASGIApp:
        try:
            return await handler(call)
        except (BlobUnknown, ManifestUnknown):
            if not is_digest(call.target.reference):
                raise
            work = call.services.pulls.restore(
                parse_digest(call.target.reference), timeout_seconds=hop_seconds
            )
            try:
                is_back = await unless_gone(call.receive, work)
            except StillBuilding as error:
                reference = f"./{call.target.reference}"
                return wait_answer(reference, call.scope["query_string"], error)
            if not is_back:
                raise
        return await handler(call)

    return answer
