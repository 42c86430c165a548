"""How whoever is refused by a policy asks for a waiver: the end of the sentence that they get."""

import shlex
from typing import Final

from builder.errors import Refusal

#: Command lines show no more of what a server says.
_MAX_LENGTH: Final = 500


def how_to_ask(refusal: Refusal, path: str | None = None) -> str:
    """Return the command that asks for a waiver; ``""``: no waiver can be given.

    Args:
        refusal: What was refused.
        path: The environment that was refused, e.g. ``"analytics/forecast"``; ``None``: what was
            refused has no name.

    >>> refusal = Refusal("company", "age", packages=("numpy ==2.3.1",))
    >>> how_to_ask(refusal, "analytics/forecast")
    'pullforge waiver request analytics/forecast --reason WHY'
    >>> how_to_ask(refusal)
    "pullforge waiver request --policy company --spec 'numpy ==2.3.1' --reason WHY"
    """
    if not refusal.packages:
        return ""
    if path is not None:
        return f"pullforge waiver request {shlex.quote(path)} --reason WHY"
    spec, policy = shlex.quote(refusal.packages[0]), shlex.quote(refusal.policy)
    manager = " --manager pypi" if refusal.manager == "pypi" else ""
    return f"pullforge waiver request --policy {policy} --spec {spec}{manager} --reason WHY"


def told_with_asking(message: str, refusal: Refusal | None, path: str | None = None) -> str:
    """Return the sentence of a refusal with how a waiver is asked for at its end.

    >>> refusal = Refusal("company", "age", "it@x.org", packages=("numpy ==2.3.1",))
    >>> told_with_asking("numpy 2.3.1 is too young; ask it@x.org", refusal, "a/b")
    'numpy 2.3.1 is too young; ask it@x.org, or: pullforge waiver request a/b --reason WHY'
    """
    command = how_to_ask(refusal, path) if refusal is not None else ""
    if refusal is None or not command:
        return message
    is_named = refusal.contact and message.endswith(refusal.contact)
    asking = f", or: {command}" if is_named else f"; ask for a waiver: {command}"
    room = _MAX_LENGTH - len(asking)
    return (message if len(message) <= room else f"{message[: room - 1].rstrip()}…") + asking


def sentence_of(told: str) -> str:
    """Return the sentence of a refusal without whom to ask, and how.

    >>> sentence_of("numpy 2.3.1 is too young; ask it@x.org, or: pullforge waiver request a/b")
    'numpy 2.3.1 is too young'
    """
    sentence, _, _ = told.rpartition("; ask ")
    return sentence or told
