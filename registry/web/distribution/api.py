"""The address by which clients find out that this is a registry."""

from starlette.types import ASGIApp

from registry.web.asgi.responses import header, json_answer
from registry.web.distribution.request import RegistryRequest


async def get_api(_call: RegistryRequest) -> ASGIApp:
    """Say that this is a registry. Never waits for anything: docker gives it 15 s.

    Source: distribution-spec, "Determining Support".
    """
    return json_answer(200, {}, [header("docker-distribution-api-version", "registry/2.0")])
