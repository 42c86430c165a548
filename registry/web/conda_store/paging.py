"""Which part of a list is asked for, and lists as answers.

Whoever asks for no page of what is small gets all of it at once: some clients ask for the first
page again and again until they have as many items as there are.
"""

import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from registry.catalog.counted_lists import Counted, Slice
from registry.catalog.slugs import environment_slug
from registry.errors import CatalogNameInvalid, ParameterInvalid
from registry.web.asgi.responses import BytesResponse, RawHeaders, header
from registry.web.conda_store.calls import Call

Item = TypeVar("Item")

#: The most that one page has.
MAX_SIZE: Final = 100
#: So many are returned at once where no page is asked for; of more, the first page.
_WHOLE: Final = 20_000
#: So many are read before others get their turn.
_BATCH: Final = 500
_MAX_DIGITS: Final = 9
#: A text to search for is no longer, and a list has no more conditions of one kind.
_MAX_TEXT: Final = 200
_MAX_NAMES: Final = 20
_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which page is asked for."""

    #: From 1.
    page: int
    size: int
    #: Whether nothing was said of pages, and all may be returned.
    is_whole: bool
    sort_by: tuple[str, ...]
    is_descending: bool

    @property
    def slice(self) -> Slice:
        """What of the list is on the page."""
        return self.part((self.page - 1) * self.size, self.size)

    def part(self, offset: int, limit: int) -> Slice:
        """Return a part of the list, in its order."""
        return Slice(offset, limit, self.sort_by, self.is_descending)


def numbers_of(
    call: Call,
    orders: Collection[str] = (),
    default: tuple[str, ...] = (),
    *,
    is_small: bool = False,
) -> Numbers:
    """Return which page is asked for.

    Args:
        call: The request.
        orders: By what the list can be sorted; of other words nothing is said.
        default: By what it is sorted if nothing of it is asked for.
        is_small: Whether all may be returned if no page is asked for.

    Raises:
        ParameterInvalid: The page, or its size, is no number, or less than 1.
    """
    page, size = number_of(call, "page"), number_of(call, "size")
    sort_by = tuple(dict.fromkeys(one for one in call.query.get("sort_by", ()) if one in orders))
    return Numbers(
        page or 1,
        min(size or MAX_SIZE, MAX_SIZE),
        is_small and page is None and size is None,
        sort_by or default,
        call.first("order") == "desc",
    )


def number_of(call: Call, name: str, least: int = 1) -> int | None:
    """Return a number of the query; ``None``: it has none of that name.

    Raises:
        ParameterInvalid: It is no number, or less than ``least``.
    """
    text = call.first(name)
    if text is None or not text:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    if not is_number or int(text) < least:
        raise ParameterInvalid(
            f"'{name}' is '{text[:50]}': write a number from {least} to {10**_MAX_DIGITS - 1}",
            field=name,
        )
    return int(text)


def choice_of(call: Call, name: str, choices: Collection[str]) -> str | None:
    """Return a word of the query; ``None``: it has none of that name.

    Raises:
        ParameterInvalid: It is none of ``choices``.
    """
    text = call.first(name)
    if text is None or not text:
        return None
    if text not in choices:
        raise ParameterInvalid(
            f"'{name}' is '{text[:50]}': write one of {', '.join(sorted(choices))}", field=name
        )
    return text


def text_of(call: Call, name: str) -> str:
    """Return a text of the query; empty if it has none of that name.

    Raises:
        ParameterInvalid: It is longer than what is searched for.
    """
    text = call.first(name) or ""
    if len(text) > _MAX_TEXT:
        raise ParameterInvalid(
            f"'{name}' is too long: write at most {_MAX_TEXT} characters", field=name
        )
    return text


def names_of(call: Call, name: str) -> tuple[str, ...]:
    """Return all values of a name of the query, each once.

    Raises:
        ParameterInvalid: There are too many.
    """
    found = tuple(dict.fromkeys(one for one in call.query.get(name, ()) if one))
    if len(found) > _MAX_NAMES:
        raise ParameterInvalid(
            f"there are too many of '{name}': write at most {_MAX_NAMES}", field=name
        )
    return found


def is_on(call: Call, name: str) -> bool:
    """Return whether the query says yes to something."""
    return (call.first(name) or "").lower() not in _FALSE


def slug_in(call: Call, name: str) -> str | None:
    """Return the slug of a name of the query; ``""``: nothing can be called so."""
    text = call.first(name)
    if text is None or not text:
        return None
    try:
        return environment_slug(text)
    except CatalogNameInvalid:
        return ""


async def list_answer(
    numbers: Numbers,
    read: Callable[[Slice], Awaitable[Counted[Item]]],
    document: Callable[[Item], Any],
    lines: RawHeaders | None = None,
    *,
    has_message: bool = True,
) -> BytesResponse:
    """Return a page of a list, or all of it.

    Args:
        numbers: Which page.
        read: Reads a part of the list.
        document: Returns what clients are told of an item.
        lines: Header lines beside.
        has_message: Whether there is a ``message``, which is null.
    """
    found = await read(numbers.part(0, _BATCH) if numbers.is_whole else numbers.slice)
    count, size = found.count, numbers.size
    is_whole = numbers.is_whole and count <= _WHOLE
    if numbers.is_whole and not is_whole:
        found = Counted(found.items[:size], count)
    pieces = [_items(found, document)]
    had = len(found.items)
    while is_whole and len(found.items) == _BATCH and had < _WHOLE:
        found = await read(numbers.part(had, _BATCH))
        had += len(found.items)
        pieces.append(_items(found, document))
    if is_whole:
        count, size = had, max(size, had)
    # Joined as text: no list of all of it is made at once.
    head = b'{"status":"ok","data":[' + b",".join(piece for piece in pieces if piece) + b"],"
    told: dict[str, Any] = {"message": None} if has_message else {}
    told |= {"page": numbers.page, "size": size, "count": count}
    body = head + json.dumps(told, separators=(",", ":")).encode("ascii")[1:]
    return BytesResponse(200, [header("content-type", "application/json"), *(lines or [])], body)


def _items(found: Counted[Item], document: Callable[[Item], Any]) -> bytes:
    documents = [document(one) for one in found.items]
    return json.dumps(documents, separators=(",", ":")).encode("ascii")[1:-1]
