"""What is asked for by digest and gone from the store is made again: the store is a cache."""

from functools import partial

from starlette.types import ASGIApp

from builder.oci.digest import is_digest, parse_digest
from registry.errors import BlobUnknown, ManifestUnknown, StillBuilding
from registry.web.access import for_account
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.waiting import waiting_redirect
from registry.web.distribution.request import Handler, RegistryRequest


def restoring_lost_content(handler: Handler, *, redirect_after_seconds: float) -> Handler:
    """Return ``handler`` with a second try after lost content has been made again."""

    async def answer(call: RegistryRequest) -> ASGIApp:
        try:
            return await handler(call)
        except (BlobUnknown, ManifestUnknown):
            if not await _is_lost(call):
                raise
            restore = partial(
                call.source.restore,
                parse_digest(call.target.reference),
                timeout_seconds=redirect_after_seconds,
            )
            try:
                is_back = await cancel_on_disconnect(call.receive, for_account(call.scope, restore))
            except StillBuilding as error:
                reference = f"./{call.target.reference}"
                return waiting_redirect(reference, call.scope["query_string"], error)
            if not is_back:
                raise
        return await handler(call)

    return answer


async def _is_lost(call: RegistryRequest) -> bool:
    """Tell whether what was not found belongs to the repository: else it costs no build."""
    if not is_digest(call.target.reference):
        return False
    repository, digest = call.repository(), parse_digest(call.target.reference)
    if call.target.kind == "blob":
        return await call.source.has_blob(repository, digest)
    return await call.source.has_manifest(repository, digest)
