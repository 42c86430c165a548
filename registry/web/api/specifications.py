"""Reading specifications before anything is kept of them."""

from registry.requests.requests import RequirePull
from registry.web.access import require_base
from registry.web.api.endpoints import ApiRequest


def may_pull_of(request: ApiRequest) -> RequirePull:
    """Return what refuses bases that whoever sent a request may not pull by what they sent."""

    async def may_pull(repository: str) -> None:
        await require_base(request.scope, repository)

    return may_pull


async def require_readable(request: ApiRequest, data: bytes) -> None:
    """Return if a version can be made of ``data``, as far as reading it tells.

    Raises:
        BuilderError: It cannot be read, or asks for what is not offered.
        RegistryError: Whoever sent it may not pull the base that it names.
    """
    requests = request.state["services"].builds.requests
    await requests.check(data, may_pull=may_pull_of(request))
