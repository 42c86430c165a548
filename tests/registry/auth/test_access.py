import datetime

import pytest

from registry.auth.access import Access
from registry.auth.entitlements import Entitlements
from registry.auth.logins import Logins
from registry.auth.policy import Caller, FixedPolicy, Identity, Policy
from registry.auth.rights import Need
from registry.auth.roles import Role, ServiceRole
from registry.auth.secret import new_token, sha256_of
from registry.errors import Denied, NameUnknown, Unauthorized
from tests.registry.accounts import PASSWORD, TOKEN, policy_of, robot, user
from tests.registry.auth.grants import Spaces, give_token, grant

pytestmark = pytest.mark.anyio

PULL = Need("pull", "team/forecast")
PUSH = Need("push", "team/forecast")
HERE = "192.0.2.1"


def access_with(*identities: Identity, private: tuple[str, ...] = (), key: bool = True) -> Access:
    policy = policy_of(*identities, private=private) if key else Policy()
    return Access(FixedPolicy(policy), Logins(), Entitlements(Spaces({"team"})))


def using(access: Access, principal: str, *scopes: str) -> Caller:
    return access.read_token(give_token(access.entitlements, principal, *scopes)[0])


def test_rights_of_the_file_and_of_grants_add_up() -> None:
    access = access_with(user("ada", "team/other:pull,push"), user("bob", "team/**:push"))
    access.entitlements.put_grant(grant("user:ada", "viewer", "team/forecast"))
    ada, bob = access.named("ada"), access.named("bob")
    assert access.may(ada, PULL)
    assert not access.may(ada, PUSH)
    assert access.may(ada, Need("push", "team/other"))
    assert access.may(bob, PUSH)
    assert not access.may(bob, PULL)
    assert access.may(bob, Need("pull", "elsewhere/x")), "it is in no namespace"


@pytest.mark.parametrize(
    ("scopes", "role"),
    [
        ((), "owner"),
        (("**:*",), "owner"),
        (("team/*:pull",), "viewer"),
        (("team/*:pull,push,build",), "editor"),
        (("team/forecast:pull",), None),
        (("other/*:*",), None),
    ],
)
def test_a_token_may_no_more_than_its_scopes_and_its_owner(
    scopes: tuple[str, ...], role: Role | None
) -> None:
    access = access_with()
    access.entitlements.put_grant(grant("user:ada", "owner", "team/*"))
    caller = using(access, "ada", *scopes)
    assert access.role(caller, "team") == role
    assert access.role(using(access, "bob", "**:*"), "team") is None
    assert access.may(caller, PUSH) == (role in {"owner", "editor"})


def test_what_everyone_may_see_is_seen_with_any_token() -> None:
    access = access_with()
    access.entitlements.put_grant(grant("everyone", "viewer", "team/*"))
    caller = using(access, "ada", "other/*:push")
    assert access.role(caller, "team", "forecast") == "viewer"
    assert access.may(caller, PULL)
    assert access.visible(caller).globs == (("team", "*"),)


def test_the_rights_of_a_tokens_owner_are_looked_up_at_each_use() -> None:
    access = access_with()
    given = grant("user:ada", "editor", "team/*")
    access.entitlements.put_grant(given)
    caller = using(access, "ada", "team/*:*")
    assert access.may(caller, PUSH)
    access.entitlements.remove_grant(given.id)
    assert not access.may(caller, PUSH)


@pytest.mark.parametrize(
    ("rights", "scopes", "role"),
    [
        (["**:*"], None, "administrator"),
        (["**:pull,catalog"], None, "auditor"),
        (["team/*:*"], None, None),
        (["**:*"], ["**:pull,catalog"], "auditor"),
        (["**:*"], ["**:*"], "administrator"),
        (["**:*"], ["team/*:*"], None),
        (["**:pull,catalog"], ["**:*"], "auditor"),
    ],
)
def test_a_role_in_the_service_comes_from_the_file_too_and_is_limited_by_tokens(
    rights: list[str], scopes: list[str] | None, role: ServiceRole | None
) -> None:
    access = access_with(user("ada", *rights))
    caller = access.named("ada") if scopes is None else using(access, "ada", *scopes)
    assert access.service_role(caller) == role
    if role == "administrator":
        assert access.role(caller, "team") == access.role(caller, "new") == "owner"
    if role is not None:
        assert access.visible(caller).is_everything


def test_what_one_may_see_is_the_union_of_all_sources() -> None:
    access = access_with(user("ada", "data/fore*:pull", "te**:pull", "nothing/*:push"))
    access.entitlements.put_grant(grant("group:lab", "viewer", "lab-*/*"))
    access.entitlements.put_grant(grant("everyone", "viewer", "open/*"))
    access.entitlements.put_principal("ada", is_disabled=False, groups=["lab"])
    seen = access.visible(access.named("ada"))
    assert set(seen.globs) == {("data", "fore*"), ("te*", "*"), ("lab-*", "*"), ("open", "*")}
    assert not seen.is_everything
    limited = access.visible(using(access, "ada", "lab-a/*:pull", "data/*:push"))
    assert set(limited.globs) == {("lab-a", "*"), ("open", "*")}
    assert access.visible(Caller(None)).globs == (("open", "*"),)


async def test_a_token_is_a_password_beside_any_name_and_a_bearer_token() -> None:
    access = access_with(user("ada"))
    secret, number = give_token(access.entitlements, "bob")
    for name in ("bob", "ada", "", "nobody"):
        caller = await access.log_in(name, secret, HERE)
        assert caller.identity is not None
        assert (caller.identity.name, caller.token and caller.token.id) == ("bob", number)
    assert access.read_token(secret) == caller
    access.entitlements.remove_token(number)
    with pytest.raises(Unauthorized):
        await access.log_in("bob", secret, HERE)
    with pytest.raises(Unauthorized, match="log in again"):
        access.read_token(secret)
    await access.logins.aclose()


def test_a_robot_of_the_file_may_send_its_token_as_a_bearer_token() -> None:
    access = access_with(robot("ci", "team/*:pull"))
    caller = access.read_token(TOKEN)
    assert caller.identity is access.policy.identities["ci"]
    with pytest.raises(Unauthorized):
        access.read_token(new_token())
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    expired = robot("ci")
    ended = access_with(Identity("ci", expired.hashed, (), past))
    with pytest.raises(Unauthorized):
        ended.read_token(TOKEN)


def test_a_bearer_token_dies_with_the_token_that_it_was_given_for() -> None:
    access = access_with(user("eve"))
    access.entitlements.put_grant(grant("user:ada", "editor", "team/*"))
    secret, number = give_token(access.entitlements, "ada", "team/*:pull")
    issued = access.issue_token(access.read_token(secret), [PULL, PUSH])
    caller = access.read_token(issued)
    assert caller.scope == frozenset({PULL})
    access.check(caller, [PULL])
    assert not access.may(caller, PUSH), "the token's scopes hold for it, too"
    access.entitlements.put_principal("ada", is_disabled=True, groups=[])
    with pytest.raises(Unauthorized):
        access.read_token(issued)
    access.entitlements.put_principal("ada", is_disabled=False, groups=[])
    access.read_token(issued)
    access.entitlements.remove_token(number)
    with pytest.raises(Unauthorized):
        access.read_token(issued)


def test_where_the_auth_file_has_no_key_the_database_has_one_for_all_servers() -> None:
    access, other = access_with(key=False), access_with(key=False)
    secret, number = give_token(access.entitlements, "ada")
    for one in (access, other):
        one.entitlements.put_signing_key("5" * 64)
    issued = access.issue_token(access.read_token(secret), [PULL])
    assert secret not in issued
    assert access.read_token(issued).token == access.read_token(secret).token
    nobody = access.issue_token(Caller(None), [PULL])
    assert other.read_token(nobody) == Caller(None, frozenset({PULL}))
    access.entitlements.remove_token(number)
    for token in (issued, "anonymous", "", "x", "a.b.c"):
        with pytest.raises(Unauthorized):
            access.read_token(token)


def test_before_there_is_a_key_only_strangers_get_a_bearer_token() -> None:
    access = access_with(key=False)
    secret, _ = give_token(access.entitlements, "ada")
    for caller in (Caller(None), access.read_token(secret)):
        issued = access.issue_token(caller, [PULL])
        assert access.read_token(issued) == Caller(None, frozenset())
    for token in ("", "x", "a.b.c"):
        with pytest.raises(Unauthorized):
            access.read_token(token)


def test_the_key_of_the_auth_file_comes_first() -> None:
    access, plain = access_with(user("ada")), access_with(key=False)
    for one in (access, plain):
        one.entitlements.put_signing_key("5" * 64)
    issued = access.issue_token(Caller(None), [PULL])
    with pytest.raises(Unauthorized):
        plain.read_token(issued)


def test_where_there_is_a_provider_people_are_asked_to_log_in_before_anybody_has() -> None:
    access = Access(FixedPolicy(), Logins(), has_provider=True)
    assert access.takes_logins
    assert not access.hides
    with pytest.raises(Unauthorized):
        access.check(Caller(None), [PUSH])


@pytest.mark.parametrize("name", ["ada", ""])
async def test_a_browsers_session_is_neither_a_password_nor_a_bearer_token(name: str) -> None:
    access = access_with(user("ada", "**:*"))
    secret, number = give_token(access.entitlements, "ada", kind="session")
    with pytest.raises(Unauthorized):
        await access.log_in(name, secret, HERE)
    with pytest.raises(Unauthorized):
        access.read_token(secret)
    personal, _ = give_token(access.entitlements, "ada")
    issued = access.issue_token(access.read_token(personal), [PULL])
    assert access.read_token(issued).identity is not None
    assert access.entitlements.token_of_number(number) is None
    assert access.entitlements.session(sha256_of(secret)) == ("ada", number)
    assert access.entitlements.session(sha256_of(personal)) is None


def test_whoever_is_of_the_file_is_nobody_without_it() -> None:
    access = access_with(user("eve"))
    access.entitlements.put_principal("ada", is_disabled=False, groups=[], is_of_file=True)
    secret, _ = give_token(access.entitlements, "ada")
    with pytest.raises(Unauthorized):
        access.read_token(secret)
    assert access.named("ada") == Caller(None)
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    expired = access_with(user("ada", expires=past))
    secret, _ = give_token(expired.entitlements, "ada")
    with pytest.raises(Unauthorized):
        expired.read_token(secret)


async def test_whoever_is_disabled_is_refused_with_their_password_too() -> None:
    access = access_with(user("ada", "**:*"))
    issued = access.issue_token(await access.log_in("ada", PASSWORD, HERE), [PULL])
    access.read_token(issued)
    access.entitlements.put_principal("ada", is_disabled=True, groups=[])
    with pytest.raises(Unauthorized):
        await access.log_in("ada", PASSWORD, HERE)
    with pytest.raises(Unauthorized):
        access.read_token(issued)
    assert access.named("ada") == Caller(None)
    await access.logins.aclose()


def test_whoever_may_not_see_a_repository_is_told_what_is_told_of_none() -> None:
    access = access_with(user("ada"), private=("closed/**",))
    ada = access.named("ada")
    with pytest.raises(NameUnknown, match="there is no repository 'team/forecast'"):
        access.check(ada, [PULL])
    with pytest.raises(Denied, match="may not push to 'team/forecast'"):
        access.check(ada, [PUSH])
    with pytest.raises(Denied, match="may not pull 'closed/x'"):
        access.check(ada, [Need("pull", "closed/x")])
    with pytest.raises(Unauthorized, match="log in first"):
        access.check(Caller(None), [PULL])


def test_a_bearer_token_does_not_tell_what_is_hidden() -> None:
    access = access_with(user("ada"))
    for caller in (access.named("ada"), Caller(None)):
        issued = access.issue_token(caller, [PULL, Need("pull", "unknown/x"), PUSH])
        assert access.read_token(issued).scope == frozenset({PULL, Need("pull", "unknown/x")})


def test_where_nothing_is_set_up_nobody_can_log_in() -> None:
    access = Access(FixedPolicy(), Logins())
    assert not access.takes_logins
    assert not access.hides
    assert access.is_open([PULL])
    _, number = give_token(access.entitlements, "ada")
    assert access.takes_logins
    access.entitlements.remove_token(number)
    assert access.takes_logins, "who had the last token is refused, and not taken for a stranger"


def test_why_one_may_names_the_file_and_the_limits_of_a_token() -> None:
    access = access_with(user("ada", "team/*:pull,push"))
    access.entitlements.put_grant(grant("user:ada", "admin", "team/*"))
    assert access.why(using(access, "ada", "team/*:pull"), "team", "forecast") == [
        "editor through the auth file",
        "admin, by ada, 3 March 2026",
        "limited by the token, which is good for team/*:pull",
    ]
    assert access.why(Caller(None), "team", "forecast") == []
