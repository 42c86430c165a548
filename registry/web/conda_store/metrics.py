"""What is counted, by the names that boards read; and ``/celery``, which is not there."""

import asyncio
import shutil
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import Final

from starlette.types import ASGIApp

from registry.auth.rights import Need
from registry.errors import EndpointUnknown
from registry.web.access import require
from registry.web.asgi.responses import BytesResponse, header
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.documents import STATUSES, status_of_state

_CONTENT_TYPE: Final = header("content-type", "text/plain; version=0.0.4; charset=utf-8")


async def get_metrics(call: Call) -> ASGIApp:
    """Answer how much there is, to those who may read the service's own metrics."""
    await require(call.request.scope, Need("metrics", None))
    counts = await call.catalog.counts.all()
    builds = Counter(dict.fromkeys(STATUSES, 0))
    for state, count in counts.versions.items():
        builds[status_of_state(state)] += count
    values = {
        "disk_usage": counts.size_bytes,
        **(await asyncio.to_thread(_disk, call.face.disk) if call.face.disk is not None else {}),
        **{f"build_{status.lower()}": count for status, count in builds.items()},
        "environments": counts.environments,
    }
    text = "".join(
        f"# TYPE conda_store_{name} gauge\nconda_store_{name} {value}\n"
        for name, value in values.items()
    )
    return BytesResponse(200, [_CONTENT_TYPE], text.encode())


async def get_celery(_call: Call) -> ASGIApp:
    """Say that nothing is told of workers here.

    Raises:
        EndpointUnknown: Always.
    """
    raise EndpointUnknown(
        "nothing is told of workers here: administrators see what is made, and what waits, at"
        " /ui/queue and /api/v1/queue"
    )


def _disk(directory: Path) -> dict[str, int]:
    """Return how much there is of the disk that the store is on."""
    found = shutil.disk_usage(directory)
    return {"disk_free": found.free, "disk_total": found.total}


ROUTES: Final[Routes] = MappingProxyType(
    {"/metrics": {"GET": get_metrics}, "/celery": {"GET": get_celery}}
)
