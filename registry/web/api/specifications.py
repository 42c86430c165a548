"""Reading specifications before anything is kept of them."""

from registry.web.access import require_base
from registry.web.api.endpoints import ApiRequest


async def require_readable(request: ApiRequest, data: bytes) -> None:
    """Return if a version can be made of ``data``, as far as reading it tells.

    Raises:
        BuilderError: It cannot be read, or asks for what is not offered.
        RegistryError: Whoever sent it may not pull the base that it names.
    """

    async def may_pull(repository: str) -> None:
        await require_base(request.scope, repository)

    await request.state["services"].builds.requests.check(data, may_pull=may_pull)
