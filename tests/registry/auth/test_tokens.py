import datetime
import time

import jwt
import pytest

from registry.auth.policy import Caller, Policy
from registry.auth.rights import Need
from registry.auth.tokens import LIFETIME_SECONDS, issue_token, parse_scopes, read_token, scope_of
from registry.errors import Unauthorized
from tests.registry.accounts import policy_of, quick_hash, user

ADA = user("ada", "team/*:pull,push", "**:catalog")
POLICY = policy_of(ADA, private=("team/**",))
WANTED = parse_scopes(["repository:team/x:pull,push,delete", "registry:catalog:*"])


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("repository:a/b:pull", {Need("pull", "a/b")}),
        ("repository:a:push,pull", {Need("push", "a"), Need("pull", "a")}),
        ("repository:a:*", {Need("push", "a"), Need("pull", "a"), Need("delete", "a")}),
        ("repository(plugin):a:pull", {Need("pull", "a")}),
        ("repository:host:5000/a:pull", {Need("pull", "host:5000/a")}),
        ("registry:catalog:*", {Need("catalog", None)}),
        ("registry:catalog:search", {Need("catalog", None)}),
        ("repository:a:write,,", set()),
        ("repository:a", set()),
        ("repository::pull", set()),
        ("aws:a:pull", set()),
        ("", set()),
    ],
)
def test_scopes_are_read_as_clients_write_them(scope: str, expected: set[Need]) -> None:
    assert parse_scopes([scope]) == expected


def test_the_scope_of_a_challenge_is_one_that_is_understood() -> None:
    needs = [Need("push", "a/b"), Need("delete", "a"), Need("catalog", None), Need("pin", "c")]
    assert parse_scopes(scope_of(needs).split()) == {*needs, Need("pull", "a/b")}


def test_a_token_says_who_and_only_what_they_may() -> None:
    caller = read_token(POLICY, issue_token(POLICY, Caller(ADA), WANTED))
    assert caller.identity is ADA
    needs = [Need("pull", "team/x"), Need("push", "team/x"), Need("catalog", None)]
    assert caller.scope == frozenset(needs)


def test_a_token_without_a_name_is_for_what_is_open() -> None:
    asked = parse_scopes(["repository:env/numpy:pull,push", "repository:team/x:pull"])
    caller = read_token(POLICY, issue_token(POLICY, Caller(None), asked))
    assert caller == Caller(None, frozenset({Need("pull", "env/numpy")}))


def after(**changes: object) -> Policy:
    """Return the policy after its only user was changed."""
    fields = {"rights": ADA.rights, "hashed": ADA.hashed, "expires": None, **changes}
    changed = type(ADA)("ada", **fields)  # type: ignore[arg-type]  # as the tests give them
    return Policy(POLICY.token_key, {"ada": changed})


@pytest.mark.parametrize(
    "policy",
    [
        Policy(POLICY.token_key, {}),
        Policy("0" * 64, POLICY.identities),
        after(hashed=quick_hash("new")),
        after(expires=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
    ],
    ids=["removed", "other key", "new password", "expired"],
)
def test_a_token_ends_with_what_it_rests_on(policy: Policy) -> None:
    token = issue_token(POLICY, Caller(ADA), WANTED)
    with pytest.raises(Unauthorized, match="log in again") as caught:
        read_token(policy, token)
    assert caught.value.problem == "invalid_token"


def test_a_token_ends_after_an_hour() -> None:
    now = time.time()
    old = issue_token(POLICY, Caller(ADA), WANTED, now=now - LIFETIME_SECONDS - 120)
    with pytest.raises(Unauthorized):
        read_token(POLICY, old)
    assert read_token(POLICY, issue_token(POLICY, Caller(ADA), WANTED, now=now - 3000)).identity


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "ada"},
        {"sub": "ada", "aud": "other", "iat": 1, "exp": 2**33, "gen": ADA.generation},
        {"sub": 3, "aud": "pullforge", "iat": 1, "exp": 2**33},
        {"sub": "ada", "aud": "pullforge", "iat": 2**33, "exp": 2**34, "gen": ADA.generation},
    ],
)
def test_a_token_with_other_claims_is_none(claims: dict[str, object]) -> None:
    token = jwt.encode(claims, bytes.fromhex(POLICY.token_key), "HS256")
    with pytest.raises(Unauthorized):
        read_token(POLICY, token)


def test_an_unsigned_token_is_none() -> None:
    claims = {"sub": "ada", "aud": "pullforge", "iat": 1, "exp": 2**33, "gen": ADA.generation}
    unsigned = jwt.encode({**claims, "needs": []}, None, "none")  # type: ignore[arg-type]  # as PyJWT has it
    for token in (unsigned, "", "a.b.c", "x", "ä"):
        with pytest.raises(Unauthorized):
            read_token(POLICY, token)
