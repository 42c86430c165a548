"""What the service is."""

from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes

#: The last release of conda-store, whose wire this is.
WIRE_VERSION: Final = "2025.2.2"


async def get_status(_call: Call) -> ASGIApp:
    """Say that the service is there."""
    return answer({"version": WIRE_VERSION})


ROUTES: Final[Routes] = MappingProxyType({"/api/v1": {"GET": get_status}})
