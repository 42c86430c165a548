"""New tokens, as forms describe them."""

import secrets
from typing import Any

from registry.web.pages.fields import end_of
from registry.web.pages.visit import Visit


async def make_token(visit: Visit, form: Any, more: dict[str, str]) -> Any:
    """Return the new token that a form describes, with its secret.

    Args:
        visit: The request.
        form: ``name``, ``scopes`` (one a line), ``days`` and ``key``, which no other form has: so
            a page that is sent again makes no second one.
        more: What the API is told beside.

    Raises:
        ApiProblem: There can be none like it.
    """
    body: dict[str, Any] = {"name": form.get("name", "").strip(), **more}
    scopes = form.get("scopes", "").split()
    if scopes:
        body["scopes"] = scopes
    ends = end_of(form)
    if ends is not None:
        body["expires_at"] = ends
    key = form.get("key", "")
    headers = {"idempotency-key": key} if key.isascii() and key.isalnum() else {}
    return (await visit.ask("POST", "/tokens", json_body=body, headers=headers)).document


def form_key() -> str:
    """Return what one form has, and no other."""
    return secrets.token_hex(16)
