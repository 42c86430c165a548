"""Environments, as whoever asks may see them: by pages with numbers, or one after the other."""

import base64
import binascii
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.types import ASGIApp

from registry.catalog.counted_lists import EnvironmentFilter, Slice
from registry.errors import CursorInvalid, EnvironmentUnknown, ParameterInvalid
from registry.web.asgi.responses import header, json_answer
from registry.web.conda_store.answers import answer
from registry.web.conda_store.calls import Call, Routes
from registry.web.conda_store.documents import (
    ARTIFACTS,
    ARTIFACTS_OF_ALL,
    ARTIFACTS_OF_COMPLETED,
    STATUSES,
    environment_document,
    environment_with_build,
)
from registry.web.conda_store.identity import seen_with
from registry.web.conda_store.names import environment_in
from registry.web.conda_store.paging import (
    choice_of,
    list_answer,
    names_of,
    number_of,
    numbers_of,
    slug_in,
    text_of,
)

#: conda-store says so of its first list, and clients go on asking for it.
_DEPRECATED: Final = (
    header("deprecation", "True"),
    header("sunset", "Mon, 17 Mar 2025 00:00:00 UTC"),
)
_ORDERS: Final = ("namespace", "name")
_MAX_LIMIT: Final = 1000
_DEFAULT_LIMIT: Final = 100
#: After the last one: what conda-store sends then.
_END: Final[tuple[int | None, Mapping[str, str] | None]] = (None, None)


async def list_environments(call: Call) -> ASGIApp:
    """List environments by pages with numbers."""
    numbers = numbers_of(call, _ORDERS, _ORDERS, is_small=True)
    visible, wanted = seen_with(call, call.first("jwt") or None), _wanted(call)
    return await list_answer(
        numbers,
        lambda part: call.catalog.counted.environments(visible, wanted, part),
        environment_with_build,
        list(_DEPRECATED),
    )


async def list_environments_after(call: Call) -> ASGIApp:
    """List environments by pages that begin where the page before ended."""
    limit = min(number_of(call, "limit") or _DEFAULT_LIMIT, _MAX_LIMIT)
    sort_by = _sort_by(call)
    is_descending = choice_of(call, "order", ("asc", "desc")) == "desc"
    found = await call.catalog.counted.environments(
        seen_with(call, call.first("jwt") or None),
        _wanted(call),
        Slice(0, limit, sort_by, is_descending),
        _after(call.first("cursor")),
    )
    last = _END
    if found.items:
        slugs = dict(zip(_ORDERS, found.items[-1].path.split("/", 1), strict=True))
        last = (found.items[-1].id, {name: slugs[name] for name in sort_by})
    return json_answer(
        200,
        {
            "data": [environment_document(one) for one in found.items],
            "status": "ok",
            "message": None,
            "cursor": _cursor(*last),
            "count": found.count,
        },
    )


async def get_environment(call: Call) -> ASGIApp:
    """Tell what an environment is.

    Raises:
        EnvironmentUnknown: There is none that whoever asks may see.
    """
    namespace, slug = environment_in(call)
    found = await call.catalog.counted.environment(call.visible, namespace, slug)
    if found is None:
        raise EnvironmentUnknown(namespace, slug)
    return answer(environment_with_build(found))


def _wanted(call: Call) -> EnvironmentFilter:
    status = choice_of(call, "status", STATUSES)
    artifact = choice_of(call, "artifact", ARTIFACTS)
    has_none = artifact is not None and artifact not in ARTIFACTS_OF_COMPLETED
    return EnvironmentFilter(
        slug_in(call, "namespace"),
        slug_in(call, "name"),
        text_of(call, "search"),
        () if has_none else STATUSES[status] if status is not None else None,
        artifact is not None and artifact not in ARTIFACTS_OF_ALL,
        names_of(call, "packages"),
    )


def _sort_by(call: Call) -> tuple[str, ...]:
    """Return by what environments are sorted; one text may have several words in it.

    Raises:
        ParameterInvalid: One of these is none.
    """
    words = [one for text in call.query.get("sort_by", ()) for one in text.split(",") if one]
    for word in words:
        if word not in _ORDERS:
            raise ParameterInvalid(
                f"environments cannot be sorted by '{word[:50]}': write {' or '.join(_ORDERS)}",
                field="sort_by",
            )
    return tuple(dict.fromkeys(words))


def _cursor(number: int | None, values: Mapping[str, str] | None) -> str:
    content = {"last_id": number, "last_value": values}
    return base64.b64encode(json.dumps(content, separators=(",", ":")).encode()).decode()


def _after(cursor: str | None) -> tuple[Mapping[str, str], int] | None:
    """Return with what the page before ended; ``None``: there is none.

    Raises:
        CursorInvalid: It is of no page.
    """
    if not cursor:
        return None
    try:
        found: Any = json.loads(base64.b64decode(cursor.encode("ascii"), validate=True))
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise CursorInvalid from exc
    if not isinstance(found, dict):
        raise CursorInvalid
    number, values = found.get("last_id"), found.get("last_value") or {}
    if number is None:
        return None
    if type(number) is not int or not isinstance(values, dict):
        raise CursorInvalid
    if not all(isinstance(value, str) for value in values.values()):
        raise CursorInvalid
    return values, number


ROUTES: Final[Routes] = MappingProxyType(
    {
        "/api/v1/environment": {"GET": list_environments},
        "/api/v2/environment": {"GET": list_environments_after},
        "/api/v1/environment/{namespace}/{environment}": {"GET": get_environment},
    }
)
