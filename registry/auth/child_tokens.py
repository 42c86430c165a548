"""Child tokens: what somebody has made of their own rights for a program, for a while.

They are signed, and have no row: services ask for one with each form that they show. A child says
whose it is and what it was limited to, and gives no rights: what its owner may do, whether its
parent is still good, and every limit on the way from the parent are looked up when it is used. So
it ends with its parent, and can at no time do more than whoever had it made.

Source:
    RFC 7519 for how it is written; conda-store-server 2025.2.2, ``POST /api/v1/token/``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from registry.auth.rights import Need, Right, parse_right
from registry.auth.secret import TOKEN_PREFIX, is_token

#: How long one is good whose parent has no end, if nobody says how long.
USUAL_LIFETIME: Final = timedelta(days=1)
#: How long it is at most.
LONGEST_LIFETIME: Final = timedelta(days=366)
#: How often one may be limited further: a child of a child, and so on.
MAX_LIMITS: Final = 4
#: Servers and proxies take 8 KiB of headers.
MAX_CHARACTERS: Final = 6000

_ALGORITHM: Final = "HS256"
#: So that none is taken for a bearer token of ``/v2/token``, nor the other way round.
_AUDIENCE: Final = "pullforge-child"
#: How the header of every JWT begins: ``{"``.
_JWT: Final = TOKEN_PREFIX + "eyJ"
_DOTS: Final = 2


@dataclass(frozen=True, slots=True)
class ChildToken:
    """What a child token says."""

    owner: str
    #: The number of the token, or of the browser's login, that it ends with; ``None``: it was made
    #: with a password, or with a token of the auth file.
    parent: int | None
    #: Changes with the owner's password.
    generation: str
    #: Each of them has to allow what is done; one was added with each limit.
    limits: tuple[tuple[Right, ...], ...]
    expires_at: datetime
    #: The namespace that its maker wanted to be at home; ``None``: the owner's.
    primary_namespace: str | None = None
    #: Whether it is the cookie of a browser's login, and none that was made with that.
    is_login: bool = False

    def allows(self, need: Need) -> bool:
        """Tell whether it is not too limited for a need."""
        return all(any(right.covers(need) for right in rights) for rights in self.limits)


def is_child(secret: str) -> bool:
    """Tell whether a secret is written as child tokens are; it need not be good."""
    return secret.startswith(_JWT) and secret.count(".") == _DOTS


def write_child(child: ChildToken, key: str) -> str:
    """Return the secret of a child token.

    Args:
        child: What it says.
        key: Signs it: 64 hexadecimal digits.
    """
    return TOKEN_PREFIX + jwt.encode(
        {"aud": _AUDIENCE, **claims_of(child)}, bytes.fromhex(key), _ALGORITHM
    )


def read_child(secret: str, key: str) -> ChildToken | None:
    """Return what a child token says; ``None``: it is none of ours.

    Whether it has ended is not looked at.
    """
    if not (key and is_token(secret) and len(secret) <= MAX_CHARACTERS):
        return None
    try:
        claims = jwt.decode(
            secret.removeprefix(TOKEN_PREFIX),
            bytes.fromhex(key),
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["aud", "sub", "exp"], "verify_exp": False},
        )
    except jwt.PyJWTError:
        return None
    return child_of(claims)


def claims_of(child: ChildToken) -> dict[str, Any]:
    """Return what is signed of a child token, so that :func:`child_of` gives it back."""
    return {
        "sub": child.owner,
        "gen": child.generation,
        "exp": int(child.expires_at.timestamp()),
        **({"tok": child.parent} if child.parent is not None else {}),
        **({"lim": [list(map(str, rights)) for rights in child.limits]} if child.limits else {}),
        **({"ns": child.primary_namespace} if child.primary_namespace is not None else {}),
        **({"log": True} if child.is_login else {}),
    }


def child_of(claims: dict[str, Any]) -> ChildToken:
    """Return the child token of which claims are, which were signed here.

    One with a limit that cannot be understood, of a later version, is good for nothing.
    """
    return ChildToken(
        claims["sub"],
        claims.get("tok"),
        claims["gen"],
        tuple(map(_rights, claims.get("lim", ()))),
        datetime.fromtimestamp(claims["exp"], UTC),
        claims.get("ns"),
        claims.get("log", False),
    )


def _rights(written: Sequence[str]) -> tuple[Right, ...]:
    try:
        return tuple(map(parse_right, written))
    except ValueError:
        return ()
