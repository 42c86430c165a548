import datetime
from dataclasses import replace
from typing import Literal

import pytest

from registry.auth.entitlements import Entitlements
from registry.auth.rights import Need, Verb
from registry.auth.roles import Role
from registry.auth.secret import sha256_of
from tests.registry.auth.grants import THAT_DAY, AGrant, Spaces, give_token, grant

PULL = Need("pull", "team/forecast")
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def spaces() -> Spaces:
    return Spaces({"team", "data"})


@pytest.fixture
def entitlements(spaces: Spaces) -> Entitlements:
    return Entitlements(spaces, THAT_DAY.timestamp)


def give(entitlements: Entitlements, *args: str, **more: datetime.datetime) -> AGrant:
    one = grant(*args, **more)  # type: ignore[arg-type]  # globs are text, ends are times
    entitlements.put_grant(one)
    return one


@pytest.mark.parametrize(
    ("whom", "globs", "role"),
    [
        ("user:ada", "team/forecast", "editor"),
        ("user:ada", "te*/*", "editor"),
        ("user:ada", "*/fore*", "editor"),
        ("group:data", "team/*", "editor"),
        ("authenticated", "team/*", "editor"),
        ("everyone", "team/*", "editor"),
        ("user:bob", "team/*", None),
        ("group:other", "team/*", None),
        ("user:ada", "tea/*", None),
        ("user:ada", "team/forecast2", None),
        ("user:ada", "team/orecast", None),
        ("user:data", "team/*", None),
    ],
)
def test_a_grant_holds_for_whom_and_where_it_says(
    entitlements: Entitlements, whom: str, globs: str, role: Role | None
) -> None:
    entitlements.put_principal("ada", is_disabled=False, groups=["data"])
    give(entitlements, whom, "editor", globs)
    assert entitlements.role("ada", "team", "forecast") == role
    assert entitlements.may("ada", Need("push", "team/forecast")) == (role is not None)


def test_the_highest_of_all_grants_counts_and_taking_one_leaves_the_others(
    entitlements: Entitlements,
) -> None:
    give(entitlements, "user:ada", "viewer", "team/*")
    admin = give(entitlements, "user:ada", "admin", "*/forecast")
    assert entitlements.role("ada", "team", "forecast") == "admin"
    assert entitlements.role("ada", "team", "other") == "viewer"
    entitlements.put_grant(replace(admin, role="editor"))
    assert entitlements.role("ada", "team", "forecast") == "editor"
    for _ in range(2):
        entitlements.remove_grant(admin.id)
        assert entitlements.role("ada", "team", "forecast") == "viewer"


def test_a_role_in_a_whole_namespace_is_one_on_all_environments(
    entitlements: Entitlements,
) -> None:
    give(entitlements, "user:ada", "admin", "team/forecast")
    assert entitlements.role("ada", "team") is None
    give(entitlements, "user:ada", "viewer", "team/*")
    assert entitlements.role("ada", "team") == "viewer"


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        ("viewer", {"pull"}),
        ("editor", {"pull", "push", "build", "pin"}),
        ("admin", {"pull", "push", "build", "pin", "delete"}),
        ("owner", {"pull", "push", "build", "pin", "delete"}),
    ],
)
def test_a_role_allows_its_verbs(entitlements: Entitlements, role: str, verbs: set[Verb]) -> None:
    give(entitlements, "user:ada", role, "team/*")
    every: tuple[Verb, ...] = ("pull", "push", "delete", "build", "pin")
    for name in ("team/forecast", "team/forecast/deeper"):
        assert {verb for verb in every if entitlements.may("ada", Need(verb, name))} == verbs
    for name in ("other/forecast", "env/numpy", "data/x"):
        assert not any(entitlements.may("ada", Need(verb, name)) for verb in every)
    assert not entitlements.may("ada", Need("catalog", None))


def test_a_grant_gives_nothing_in_what_is_no_namespace(entitlements: Entitlements) -> None:
    give(entitlements, "user:ada", "owner", "*/*")
    assert not entitlements.may("ada", Need("push", "pushed/image"))
    assert not entitlements.may("ada", Need("delete", "env/numpy"))


def test_an_administrator_may_everything_and_an_auditor_sees_everything(
    entitlements: Entitlements,
) -> None:
    give(entitlements, "user:ada", "administrator")
    give(entitlements, "group:audit", "auditor")
    entitlements.put_principal("eve", is_disabled=False, groups=["audit"])
    for need in (Need("delete", "pushed/x"), Need("catalog", None), Need("pin", "build/**")):
        assert entitlements.may("ada", need)
    for need in (Need("pull", "pushed/x"), Need("catalog", None), PULL):
        assert entitlements.may("eve", need)
    assert not entitlements.may("eve", Need("push", "team/forecast"))
    assert entitlements.service_role("ada") == "administrator"
    assert entitlements.service_role("eve") == "auditor"
    assert entitlements.service_role("bob") is None


def test_grants_and_tokens_end_at_their_time(spaces: Spaces) -> None:
    now = [THAT_DAY.timestamp()]
    entitlements = Entitlements(spaces, lambda: now[0])
    give(entitlements, "user:ada", "viewer", "team/*", ends=THAT_DAY + HOUR)
    secret, number = give_token(entitlements, "ada", ends=THAT_DAY + HOUR)
    assert entitlements.may("ada", PULL)
    assert entitlements.token(secret) is not None
    now[0] += 3600
    assert not entitlements.may("ada", PULL)
    assert entitlements.token(secret) is None
    assert entitlements.token_of_number(number) is None


def test_namespaces_are_private_until_everyone_may_see_them(
    entitlements: Entitlements, spaces: Spaces
) -> None:
    give(entitlements, "authenticated", "owner", "*/*")
    assert entitlements.closes(PULL)
    assert not entitlements.closes(Need("pull", "env/numpy"))
    assert not entitlements.closes(Need("catalog", None))
    opened = give(entitlements, "everyone", "viewer", "team/fore*")
    assert not entitlements.closes(PULL)
    assert entitlements.closes(Need("pull", "team/other"))
    assert entitlements.closes(Need("build", "team/forecast"))
    entitlements.remove_grant(opened.id)
    assert entitlements.closes(PULL)


def test_whoever_has_not_logged_in_sees_at_most(entitlements: Entitlements) -> None:
    give(entitlements, "everyone", "admin", "team/*")
    assert entitlements.role(None, "team", "forecast") == "viewer"
    assert entitlements.closes(Need("push", "team/forecast"))


def test_what_was_public_stays_so_when_the_database_never_answered(spaces: Spaces) -> None:
    spaces.public.add("team/forecast")
    entitlements = Entitlements(spaces)
    assert not entitlements.closes(PULL)
    assert entitlements.closes(Need("pull", "team/other"))
    entitlements.put_grant(grant("user:ada", "owner", "team/*"))
    assert entitlements.closes(PULL), "now the grants are known"


def test_whoever_is_disabled_has_nothing(entitlements: Entitlements) -> None:
    give(entitlements, "user:ada", "owner", "team/*")
    give(entitlements, "user:ada", "administrator")
    secret, number = give_token(entitlements, "ada")
    session, _ = give_token(entitlements, "ada", kind="session")
    entitlements.put_principal("ada", is_disabled=True, groups=["data"])
    assert entitlements.role("ada", "team", "forecast") is None
    assert entitlements.service_role("ada") is None
    assert entitlements.token(secret) is None
    assert entitlements.token_of_number(number) is None
    entitlements.put_principal("ada", is_disabled=False, groups=[])
    assert entitlements.token(secret) is not None
    assert entitlements.token(session) is None


def test_a_token_is_known_by_its_secret_until_it_is_removed(entitlements: Entitlements) -> None:
    secret, number = give_token(entitlements, "ada", "team/*:pull", kind="robot")
    found = entitlements.token(secret)
    assert found is not None
    assert (found.id, found.principal) == (number, "ada")
    assert found.allows(PULL)
    assert not found.allows(Need("push", "team/forecast"))
    assert not found.allows(Need("pull", "data/x"))
    assert entitlements.token(secret + "x") is None
    assert entitlements.token("") is None
    for _ in range(2):
        entitlements.remove_token(number)
        assert entitlements.token(secret) is None


def test_a_token_whose_scopes_are_not_understood_is_good_for_nothing(
    entitlements: Entitlements,
) -> None:
    secret, _ = give_token(entitlements, "ada", "team/*:pull", "team/*:levitate")
    found = entitlements.token(secret)
    assert found is not None
    assert not found.allows(PULL)


@pytest.mark.parametrize("kind", ["personal", "robot", "session"])
def test_a_session_is_good_for_its_cookie_alone(
    entitlements: Entitlements, kind: Literal["personal", "robot", "session"]
) -> None:
    secret, number = give_token(entitlements, "ada", kind=kind)
    is_session = kind == "session"
    assert (entitlements.token(secret) is None) == is_session
    assert (entitlements.token_of_number(number) is None) == is_session
    owner = entitlements.session(sha256_of(secret))
    assert owner == (("ada", number) if is_session else None)


def test_when_tokens_were_used_is_told_once(entitlements: Entitlements) -> None:
    secret, number = give_token(entitlements, "ada")
    give_token(entitlements, "ada")
    entitlements.token(secret)
    assert entitlements.take_used() == {number: THAT_DAY}
    assert entitlements.take_used() == {}


def test_why_somebody_may_is_told_in_sentences(entitlements: Entitlements) -> None:
    entitlements.put_principal("bob", is_disabled=False, groups=["data"])
    give(entitlements, "group:data", "editor", "team/*")
    give(entitlements, "everyone", "viewer", "team/*")
    give(entitlements, "user:bob", "admin", "team/forecast", ends=THAT_DAY + HOUR)
    give(entitlements, "user:bob", "auditor")
    assert {told for _, told in entitlements.why("bob", "team", "forecast")} == {
        "viewer as everyone, by ada, 3 March 2026",
        "editor through group 'data', by ada, 3 March 2026",
        "admin, by ada, 3 March 2026, until 2026-03-03 13:00 UTC",
        "auditor, by ada, 3 March 2026",
    }
    assert [told for _, told in entitlements.why(None, "team", "forecast")] == [
        "viewer as everyone, by ada, 3 March 2026"
    ]


def test_grants_of_others_and_elsewhere_are_not_looked_at(entitlements: Entitlements) -> None:
    """However many there are: it is asked with each request."""

    class Counted(AGrant):
        reads = 0

        def __getattribute__(self, name: str) -> object:
            Counted.reads += 1
            return super().__getattribute__(name)

    for number in range(200):
        one = grant(f"user:u{number}", "viewer", "team/*")
        for other in (
            one,
            replace(one, id=-number - 1, subject="ada", namespace_glob=f"n{number}"),
        ):
            entitlements.put_grant(Counted(**vars(other)))
    Counted.reads = 0
    assert entitlements.role("ada", "team", "forecast") is None
    assert entitlements.closes(PULL)
    assert Counted.reads == 0
