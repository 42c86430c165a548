"""What is sent, as far as it is to be kept: of the right types, and such that databases take it."""

import json
from collections.abc import Mapping
from typing import Any

from registry.errors import ParameterInvalid
from registry.web.api.models import NewEnvironmentQuery, parse_query


def body_of(document: Mapping[str, Any]) -> bytes:
    """Return a document as ``/api/v1`` takes it."""
    return json.dumps(document).encode()


def text_in(sent: Mapping[str, Any], name: str) -> str:
    """Return a text of what was sent; empty if there is none.

    Raises:
        ParameterInvalid: It is no text.
    """
    found = sent.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise ParameterInvalid(f"'{name}' is text: send it in quotes")
    try:
        found.encode()
    except UnicodeEncodeError as exc:
        raise ParameterInvalid(f"'{name}' has characters that are none: send UTF-8") from exc
    return found


def require_sayable(description: str, name: str = "a") -> None:
    """Return if ``/api/v1`` takes what an environment is called and described by.

    Raises:
        ParameterInvalid: It is too long, or has characters that are none.
    """
    parse_query(NewEnvironmentQuery, [("name", name), ("description", description)])


def storable(sent: Mapping[str, Any], most_bytes: int) -> Mapping[str, Any]:
    """Return JSON that any database can keep.

    Raises:
        ParameterInvalid: It is too large, or has numbers or characters that are none.
    """
    try:
        data = json.dumps(sent, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise ParameterInvalid("what was sent has numbers or characters that are none") from exc
    if len(data) > most_bytes:
        raise ParameterInvalid(f"what was sent has more than {most_bytes} bytes: send less")
    if b"\\u0000" in data:
        raise ParameterInvalid("what was sent has the character NUL: take it out")
    return sent
