import datetime

import jwt
import pytest

from registry.auth.access import Access
from registry.auth.child_tokens import ChildToken, is_child, read_child, write_child
from registry.auth.entitlements import Entitlements
from registry.auth.logins import Logins
from registry.auth.policy import Caller, FixedPolicy, Identity, Policy
from registry.auth.rights import Need, parse_right
from registry.auth.secret import new_token
from registry.errors import DatabaseUnavailable, Unauthorized
from tests.registry.accounts import PASSWORD, policy_of, quick_hash, user
from tests.registry.auth.grants import Spaces, give_token, grant

pytestmark = pytest.mark.anyio

KEY = "1" * 64
PULL = Need("pull", "team/forecast")
PUSH = Need("push", "team/forecast")
LATER = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
HERE = "192.0.2.1"


def access_with(*identities: Identity) -> Access:
    access = Access(FixedPolicy(policy_of(*identities)), Logins(), Entitlements(Spaces({"team"})))
    access.entitlements.put_grant(grant("user:ada", "owner", "team/*"))
    return access


def child(
    access: Access,
    *limits: str,
    parent: int | None = None,
    ends: datetime.datetime = LATER,
    owner: str = "ada",
) -> str:
    """Return a child token of ``ada``; each limit is a list of rights, with blanks between."""
    identity = access.named(owner).identity
    assert identity is not None
    rights = tuple(tuple(map(parse_right, one.split())) for one in limits)
    return access.write_child(ChildToken(owner, parent, identity.generation, rights, ends))


def test_what_is_signed_is_read_back() -> None:
    limits = ((parse_right("team/*:pull,push"),), (parse_right("**:*"),))
    written = ChildToken("ada", 7, "g", limits, LATER, "Team X", is_login=True)
    secret = write_child(written, KEY)
    assert is_child(secret)
    assert read_child(secret, KEY) == written
    assert read_child(secret, "2" * 64) is None
    assert read_child(secret, "") is None
    assert read_child(secret[:-2], KEY) is None
    assert not is_child(new_token())


@pytest.mark.parametrize(
    "forged",
    [
        jwt.encode({"aud": "pullforge-child", "sub": "ada", "gen": "", "exp": 2**32}, "", "none"),
        jwt.encode({"aud": "pullforge", "sub": "ada", "gen": "", "exp": 2**32}, bytes.fromhex(KEY)),
        jwt.encode({"aud": "pullforge-child", "exp": 2**32}, bytes.fromhex(KEY)),
        "eyJ..",
        "eyJ" + "a" * 7000 + "..",
    ],
)
def test_what_was_not_signed_here_for_this_is_nothing(forged: str) -> None:
    assert read_child("pft_" + forged, KEY) is None


def test_a_child_of_a_later_version_is_good_for_nothing() -> None:
    claims = {"aud": "pullforge-child", "sub": "ada", "gen": "", "exp": 2**32, "lim": [["a:fly"]]}
    found = read_child("pft_" + jwt.encode(claims, bytes.fromhex(KEY)), KEY)
    assert found is not None
    assert not found.allows(PULL)


async def test_a_child_is_good_at_every_door_as_bearer_and_as_password() -> None:
    access = access_with(user("ada"))
    secret = child(access, "team/*:pull")
    for caller in (access.read_token(secret), await access.log_in("x", secret, HERE)):
        assert access.may(caller, PULL)
        assert not access.may(caller, PUSH)
        assert access.role(caller, "team") == "viewer"
        assert access.visible(caller).globs == (("team", "*"),)
        assert caller.expires_at == LATER


async def test_a_bearer_token_for_images_of_a_child_may_no_more_than_the_child() -> None:
    access = access_with(user("ada"))
    _, number = give_token(access.entitlements, "ada")
    caller = access.read_token(child(access, "team/*:pull", parent=number))
    issued = access.issue_token(caller, [PULL, PUSH])
    used = access.read_token(issued)
    assert used.scope == frozenset({PULL})
    assert not access.may(used, PUSH)
    access.entitlements.remove_token(number)
    with pytest.raises(Unauthorized):
        access.read_token(issued)


@pytest.mark.parametrize(
    ("limits", "may_push"),
    [
        ((), True),
        (("team/*:pull,push",), True),
        (("team/*:pull,push", "team/*:pull"), False),
        (("team/*:pull", "**:*"), False),
        (("other/*:*", "team/*:*"), False),
        (("**:*", "**:*"), True),
    ],
)
def test_every_limit_on_the_way_from_the_parent_holds(
    limits: tuple[str, ...], may_push: bool
) -> None:
    access = access_with(user("ada"))
    caller = access.read_token(child(access, *limits))
    assert access.may(caller, PUSH) == may_push
    role = access.role(caller, "team")
    assert (role in {"editor", "owner"}) == may_push


def test_limits_of_the_parent_and_of_the_child_both_hold() -> None:
    access = access_with(user("ada", "**:*"))
    _, number = give_token(access.entitlements, "ada", "team/*:pull")
    caller = access.read_token(child(access, "**:*", parent=number))
    assert access.role(caller, "team") == "viewer"
    assert access.service_role(caller) is None
    assert access.visible(caller).globs == (("team", "*"),)
    _, whole = give_token(access.entitlements, "ada")
    caller = access.read_token(child(access, "**:*", parent=whole))
    assert access.service_role(caller) == "administrator"
    caller = access.read_token(child(access, "**:pull,catalog", "**:*", parent=whole))
    assert access.service_role(caller) == "auditor"
    assert any("limited by the token" in why for why in access.why(caller, "team"))


def test_a_child_loses_what_its_owner_loses() -> None:
    access = Access(FixedPolicy(policy_of(user("ada"))), Logins(), Entitlements(Spaces({"team"})))
    given = grant("user:ada", "editor", "team/*")
    access.entitlements.put_grant(given)
    caller = access.read_token(child(access))
    assert access.may(caller, PUSH)
    access.entitlements.remove_grant(given.id)
    assert not access.may(caller, PUSH)


@pytest.mark.parametrize("kind", ["personal", "robot", "session"])
def test_a_child_ends_with_its_parent(kind: str) -> None:
    access = access_with(user("ada"))
    _, number = give_token(access.entitlements, "ada", kind=kind)  # type: ignore[arg-type] # as written above
    secret = child(access, parent=number)
    caller = access.read_token(secret)
    assert access.renewed(caller) == caller
    access.entitlements.remove_token(number)
    with pytest.raises(Unauthorized):
        access.read_token(secret)
    assert access.renewed(caller) is None


@pytest.mark.parametrize("kind", ["personal", "session"])
def test_a_child_of_somebody_elses_token_is_nothing(kind: str) -> None:
    access = access_with(user("ada"))
    _, number = give_token(access.entitlements, "bob", kind=kind)  # type: ignore[arg-type] # as written above
    with pytest.raises(Unauthorized):
        access.read_token(child(access, parent=number))


def test_a_child_ends_when_it_says_and_when_its_parent_does() -> None:
    now = LATER.timestamp() - 100
    access = Access(
        FixedPolicy(policy_of(user("ada"))),
        Logins(),
        Entitlements(Spaces({"team"}), now=lambda: now),
    )
    secret = child(access)
    caller = access.read_token(secret)
    now += 101
    with pytest.raises(Unauthorized):
        access.read_token(secret)
    assert access.renewed(caller) is None
    now -= 101
    _, number = give_token(access.entitlements, "ada", ends=LATER - datetime.timedelta(seconds=50))
    secret = child(access, parent=number)
    assert access.read_token(secret).expires_at == LATER - datetime.timedelta(seconds=50)
    now += 60
    with pytest.raises(Unauthorized):
        access.read_token(secret)


def test_a_child_ends_with_its_owner() -> None:
    access = access_with(user("ada"))
    secret = child(access)
    access.entitlements.put_principal("ada", is_disabled=True, groups=[])
    with pytest.raises(Unauthorized):
        access.read_token(secret)


@pytest.mark.parametrize("kind", [None, "session", "personal"])
def test_a_child_of_a_password_or_a_browser_ends_with_the_password(kind: str | None) -> None:
    policy = policy_of(user("ada"))
    access = Access(FixedPolicy(policy), Logins(), Entitlements(Spaces({"team"})))
    number = None
    if kind is not None:
        _, number = give_token(access.entitlements, "ada", kind=kind)  # type: ignore[arg-type] # as written above
    secret = child(access, parent=number)
    access.read_token(secret)
    changed = user("ada", hashed=quick_hash(PASSWORD + "2"))
    later = Access(
        FixedPolicy(Policy(policy.token_key, {"ada": changed})), Logins(), access.entitlements
    )
    if kind == "personal":
        assert later.read_token(secret).identity is not None
        return
    with pytest.raises(Unauthorized):
        later.read_token(secret)


def test_before_the_database_was_read_nobody_is_sent_away_with_a_child() -> None:
    access = access_with(user("ada"))
    _, number = give_token(access.entitlements, "ada")
    secret = child(access, parent=number)
    early = Access(access.source, Logins(), Entitlements(Spaces({"team"})))
    early.entitlements.set_known(False)
    with pytest.raises(DatabaseUnavailable):
        early.read_token(secret)
    unread = Access(FixedPolicy(), Logins(), early.entitlements)
    with pytest.raises(DatabaseUnavailable):
        unread.write_child(ChildToken("ada", None, "", (), LATER))
    assert Caller(None).limits == ()
