"""How much there is in namespaces."""

from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes


async def get_usage(call: Call) -> ASGIApp:
    """Tell of each namespace what it has of all that whoever asks may see."""
    found = await call.catalog.counted.totals(call.visible)
    return answer(
        {
            one.name: {
                "num_environments": one.environments,
                "num_builds": one.versions,
                "storage": one.size_bytes,
            }
            for one in found
        }
    )


ROUTES: Final[Routes] = MappingProxyType({"/api/v1/usage": {"GET": get_usage}})
