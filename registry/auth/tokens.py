"""Bearer tokens: what a client is given for its password, and sends with each request.

A token says who its owner is and what it was asked for. It gives no rights: what its owner may do
is looked up when it is used, so that whoever lost a right, or has a new password, has a token that
is worth nothing.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, cast

import jwt

from registry.auth.child_tokens import ChildToken, child_of, claims_of
from registry.auth.policy import Caller, Policy
from registry.auth.rights import VERBS, Need, Verb
from registry.errors import Unauthorized

#: BuildKit fails when a token ends before the image is built that it waits for, which may take
#: nine rounds of waiting and the pulls of the other stages.
LIFETIME_SECONDS: Final = 3600

#: The name under which clients know whom tokens are for.
SERVICE: Final = "pullforge"

_ALGORITHM: Final = "HS256"
#: How far the clocks of two servers may differ.
_LEEWAY_SECONDS: Final = 60
#: ``type:name:actions``, where a type may have a class that nobody uses, and actions have no colon.
_SCOPE: Final = re.compile(r"(repository|registry)(?:\([a-z0-9]+\))?:(.+):([a-z*,]+)")
#: Verbs of the registry as a whole are named in the place of a repository: ``registry:catalog:*``.
_REGISTRY: Final = "registry"


def parse_scopes(scopes: Iterable[str]) -> frozenset[Need]:
    """Return what is asked for; what is not understood is left out.

    >>> sorted(str(need) for need in parse_scopes(["repository:a/b:pull,push"]))
    ['a/b:pull', 'a/b:push']
    >>> parse_scopes(["registry:catalog:*"])
    frozenset({Need(verb='catalog', repository=None)})

    Source:
        distribution, "Token Scope Documentation".
    """
    found: set[Need] = set()
    for scope in scopes:
        match = _SCOPE.fullmatch(scope)
        if match is None:
            continue
        kind, name, actions = match.groups()
        if kind == _REGISTRY:
            found.update(Need(verb, None) for verb in _verbs({name}))
        else:
            found.update(Need(verb, name) for verb in _verbs(set(actions.split(","))))
    return frozenset(found)


def scope_of(needs: Iterable[Need]) -> str:
    """Return the scope that a client has to ask for to do all of ``needs``.

    >>> scope_of([Need("push", "a/b"), Need("pull", "c"), Need("catalog", None)])
    'repository:a/b:pull,push repository:c:pull registry:catalog:*'
    """
    scopes: list[str] = []
    for need in needs:
        if need.repository is None:
            scopes.append(f"{_REGISTRY}:{need.verb}:*")
        else:
            # Who pushes also looks what is there already.
            verbs = "pull,push" if need.verb == "push" else need.verb
            scopes.append(f"repository:{need.repository}:{verbs}")
    return " ".join(scopes)


def issue_token(
    policy: Policy,
    caller: Caller,
    needs: Iterable[Need],
    *,
    key: str | None = None,
    lists: Callable[[Need], bool] | None = None,
    now: float | None = None,
) -> str:
    """Return a token for what ``caller`` may do of ``needs``.

    Args:
        policy: Of the moment.
        caller: Whose it will be.
        needs: What was asked for.
        key: Signs it; ``None``: the policy has one.
        lists: Tells what of that the token says; ``None``: what the policy allows.
        now: In seconds since 1970; ``None`` for the clock's time.
    """
    identity = caller.identity
    if lists is None:

        def lists(need: Need) -> bool:
            return policy.may(identity, need)

    issued = int(time.time() if now is None else now)
    claims = {
        "aud": SERVICE,
        "sub": identity.name if identity else "",
        "gen": identity.generation if identity else "",
        "iat": issued,
        "exp": issued + LIFETIME_SECONDS,
        "needs": sorted([need.verb, need.repository or ""] for need in needs if lists(need)),
        # It ends with the token that it was given for, and can do no more.
        **({"tok": caller.token.id} if caller.token is not None else {}),
        **({"child": claims_of(caller.child)} if caller.child is not None else {}),
    }
    return jwt.encode(claims, bytes.fromhex(key or policy.token_key), _ALGORITHM)


def read_token(
    policy: Policy,
    token: str,
    caller_of: Callable[[int], Caller | None] = lambda _: None,
    *,
    key: str | None = None,
    caller_of_child: Callable[[ChildToken], Caller | None] = lambda _: None,
) -> Caller:
    """Return what a token says, if it is one of ours and its owner is who it was then.

    Args:
        policy: Of the moment.
        token: As it was sent.
        caller_of: Returns who uses the database's token of a number; ``None``: it has ended.
        key: Has signed it; ``None``: the policy has one.
        caller_of_child: Returns who uses a child token; ``None``: it has ended.

    Raises:
        Unauthorized: It is none, or has ended.
    """
    try:
        claims = jwt.decode(
            token,
            bytes.fromhex(key or policy.token_key),
            algorithms=[_ALGORITHM],
            audience=SERVICE,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["aud", "sub", "iat", "exp"]},
        )
    except jwt.PyJWTError as exc:
        raise invalid_token() from exc
    needs = frozenset(Need(verb, repository or None) for verb, repository in claims["needs"])
    name: str = claims["sub"]
    number, child = claims.get("tok"), claims.get("child")
    if child is not None:
        return _used_by(caller_of_child(child_of(child)), name, needs)
    if number is not None:
        return _used_by(caller_of(number), name, needs)
    identity = policy.identities.get(name)
    if name and (
        identity is None or identity.generation != claims["gen"] or identity.is_expired(time.time())
    ):
        raise invalid_token()
    return Caller(identity, needs)


def _used_by(caller: Caller | None, name: str, needs: frozenset[Need]) -> Caller:
    if caller is None or caller.identity is None or caller.identity.name != name:
        raise invalid_token()
    return replace(caller, scope=needs)


def _verbs(words: set[str]) -> Iterable[Verb]:
    wanted = words if "*" not in words else {"pull", "push", "delete"}
    return cast("list[Verb]", [verb for verb in VERBS if verb in wanted])


def invalid_token() -> Unauthorized:
    """Return what a token is answered that is none, or has ended."""
    return Unauthorized(
        "the login has ended or is not valid any more: log in again", "invalid_token"
    )
