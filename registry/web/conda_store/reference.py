"""``/docs``: the addresses of this face, for people to read."""

from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from registry.web.browser.page import page
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.operations import OPERATIONS


async def get_reference(call: Call) -> ASGIApp:
    """Answer a page with all addresses, and where their description for programs is."""
    prefix = call.face.prefix
    rows = [
        (method, f"{prefix}{address}", operation.summary)
        for address, operations in OPERATIONS.items()
        for method, operation in operations.items()
    ]
    return page(
        call.request,
        "conda_store_reference.html",
        rows=rows,
        prefix=prefix,
        description=f"{prefix}/openapi.json",
    )


ROUTES: Final[Routes] = MappingProxyType({"/docs": {"GET": get_reference}})
