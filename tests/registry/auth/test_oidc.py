import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from registry.auth.oidc import Oidc, OidcClient, OidcLogin, Person
from registry.auth.oidc_provider import KEYS_SECONDS, METADATA_SECONDS, OidcProvider
from registry.errors import LoginRefused, ProviderUnavailable
from tests.registry.auth.provider import (
    CLIENT,
    ISSUER,
    SECRET,
    ScriptedProvider,
    signed_by_another,
    signed_with_what_is_public,
    unsigned,
)

pytestmark = pytest.mark.anyio

BACK = "https://registry.example/login/callback"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scripted() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
async def oidc(scripted: ScriptedProvider, clock: Clock) -> AsyncIterator[Oidc]:
    async with scripted.http as http:
        yield Oidc(OidcProvider(http, ISSUER, clock), OidcClient(CLIENT, SECRET))


async def log_in(oidc: Oidc, scripted: ScriptedProvider) -> OidcLogin:
    url, attempt = await oidc.begin(BACK)
    return await oidc.finish(attempt, scripted.authorize(url), BACK)


async def test_who_has_logged_in_is_known_with_their_groups(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    scripted.claims = {"name": "Ada\nLovelace", "email": "ada@example.org", "groups": ["b", "a"]}
    login = await log_in(oidc, scripted)
    assert login.person == Person(
        ISSUER, "248289761001", "ada", "AdaLovelace", "ada@example.org", frozenset({"a", "b"})
    )


async def test_what_one_login_sends_is_in_no_other(oidc: Oidc) -> None:
    seen = [await oidc.begin(BACK) for _ in range(20)]
    secrets = {part for _, one in seen for part in (one.state, one.nonce, one.verifier)}
    assert len(secrets) == 60
    assert all(43 <= len(part) <= 128 for part in secrets)
    url, attempt = seen[0]
    assert attempt.verifier not in url
    assert attempt.verifier not in repr(attempt)


async def test_the_answer_to_another_attempt_is_refused(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    url, mine = await oidc.begin(BACK)
    _, other = await oidc.begin(BACK)
    answer = scripted.authorize(url)
    for state in (other.state, "", "ä"):
        with pytest.raises(LoginRefused, match="begin again"):
            await oidc.finish(mine, answer | {"state": state}, BACK)
    with pytest.raises(LoginRefused):
        await oidc.finish(other, answer, BACK)
    assert "/token" not in scripted.asked


async def test_a_code_that_was_stolen_is_worth_nothing_without_the_verifier(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    victims, _ = await oidc.begin(BACK)
    _, thief = await oidc.begin(BACK)
    stolen = scripted.authorize(victims)["code"]
    with pytest.raises(LoginRefused, match="invalid_grant"):
        await oidc.finish(thief, {"code": stolen, "state": thief.state}, BACK)


async def test_an_answer_is_good_for_one_login(oidc: Oidc, scripted: ScriptedProvider) -> None:
    url, attempt = await oidc.begin(BACK)
    answer = scripted.authorize(url)
    await oidc.finish(attempt, answer, BACK)
    with pytest.raises(LoginRefused):
        await oidc.finish(attempt, answer, BACK)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": None},
        {"aud": [CLIENT, "another-client"]},  # and does not say that we asked
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"iss": "https://other.example"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 17},
        {"sub": "x" * 256},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
    ids=str,
)
async def test_a_token_with_a_claim_that_is_not_ours_is_refused(
    oidc: Oidc, scripted: ScriptedProvider, changes: dict[str, Any]
) -> None:
    scripted.claims = changes
    with pytest.raises(LoginRefused, match="log in again"):
        await log_in(oidc, scripted)


@pytest.mark.parametrize(("claim", "seconds"), [("exp", -120), ("iat", 86_400), ("nbf", 86_400)])
async def test_a_token_of_another_time_is_refused(
    oidc: Oidc, scripted: ScriptedProvider, claim: str, seconds: int
) -> None:
    scripted.claims = {claim: int(time.time()) + seconds}
    with pytest.raises(LoginRefused, match="log in again"):
        await log_in(oidc, scripted)


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        lambda claims: unsigned(claims).replace(".", "..", 1),
        lambda claims: unsigned(claims) + "AAAA",
        signed_by_another,
        lambda _: "",
        lambda _: "a.b.c",
        lambda _: "x" * 100_000,
        lambda _: "ä.ö.ü",
    ],
)
async def test_a_token_that_the_provider_has_not_signed_is_refused(
    oidc: Oidc, scripted: ScriptedProvider, forge: Callable[[dict[str, Any]], str]
) -> None:
    url, attempt = await oidc.begin(BACK)
    answer = scripted.authorize(url)
    scripted.id_token = forge(scripted.claims_for({"nonce": attempt.nonce})) or "."
    with pytest.raises(LoginRefused):
        await oidc.finish(attempt, answer, BACK)


async def test_a_public_key_is_no_shared_secret(oidc: Oidc, scripted: ScriptedProvider) -> None:
    url, attempt = await oidc.begin(BACK)
    answer = scripted.authorize(url)
    claims = scripted.claims_for({"nonce": attempt.nonce})
    scripted.id_token = signed_with_what_is_public(claims, scripted.key)
    with pytest.raises(LoginRefused):
        await oidc.finish(attempt, answer, BACK)


async def test_a_token_whose_signature_was_touched_is_refused(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    url, attempt = await oidc.begin(BACK)
    answer = scripted.authorize(url)
    head, body, signature = scripted.sign(scripted.claims_for({"nonce": attempt.nonce})).split(".")
    scripted.id_token = f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    with pytest.raises(LoginRefused):
        await oidc.finish(attempt, answer, BACK)


async def test_a_token_that_does_not_name_its_key_is_tried_with_the_only_one(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    url, attempt = await oidc.begin(BACK)
    answer = scripted.authorize(url)
    claims = scripted.claims_for({"nonce": attempt.nonce})
    scripted.id_token = jwt.encode({"alg": "PS256"}, claims, scripted.key, algorithms=["PS256"])
    assert (await oidc.finish(attempt, answer, BACK)).person.name == "ada"


async def test_new_keys_are_taken_when_they_are_used_and_old_ones_no_longer_than_they_may(
    oidc: Oidc, scripted: ScriptedProvider, clock: Clock
) -> None:
    await log_in(oidc, scripted)
    await log_in(oidc, scripted)
    assert scripted.asked.count("/keys") == 1
    old, scripted.key = scripted.key, RSAKey.generate_key(2048, {"kid": "two"})
    clock.seconds += 60
    assert (await log_in(oidc, scripted)).person.name == "ada"
    assert scripted.asked.count("/keys") == 2
    # The old one is not published any more.
    new, scripted.key = scripted.key, old
    scripted.published = [new.as_dict(private=False)]
    clock.seconds += KEYS_SECONDS
    with pytest.raises(LoginRefused):
        await log_in(oidc, scripted)


async def test_tokens_that_name_unknown_keys_do_not_make_us_ask_each_time(
    oidc: Oidc, scripted: ScriptedProvider, clock: Clock
) -> None:
    await log_in(oidc, scripted)
    scripted.published = [scripted.key.as_dict(private=False)]
    scripted.key = RSAKey.generate_key(2048, {"kid": "unknown"})
    clock.seconds += 60
    for _ in range(5):
        with pytest.raises(LoginRefused):
            await log_in(oidc, scripted)
    assert scripted.asked.count("/keys") == 2


async def test_keys_that_cannot_be_used_do_not_hide_those_that_can(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    mine = scripted.key.as_dict(private=False)
    odd: list[Any] = [
        "key",
        {"kty": "AKP", "kid": "one", "pub": "AA"},
        {"kty": "oct", "kid": "one", "k": "AAAA"},
        {"kty": "RSA", "kid": "one", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "one"},
        {**mine, "use": "enc"},
    ]
    scripted.published = [*odd, mine]
    assert (await log_in(oidc, scripted)).person.name == "ada"


async def test_the_metadata_are_asked_for_once_an_hour(
    oidc: Oidc, scripted: ScriptedProvider, clock: Clock
) -> None:
    for _ in range(3):
        await oidc.begin(BACK)
    clock.seconds += METADATA_SECONDS
    await oidc.begin(BACK)
    assert scripted.asked.count("/.well-known/openid-configuration") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example"},
        {"issuer": f"{ISSUER}/"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://id.example/token"},
        {"token_endpoint": "http://localhost/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://user@id.example/a"},
        {"jwks_uri": 17},
        {"jwks_uri": "https://[id.example/keys"},
        {"end_session_endpoint": "//other.example"},
    ],
    ids=str,
)
async def test_metadata_that_lead_elsewhere_are_not_used(
    oidc: Oidc, scripted: ScriptedProvider, changes: dict[str, Any]
) -> None:
    scripted.metadata = changes
    with pytest.raises(ProviderUnavailable):
        await oidc.begin(BACK)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadTimeout("slow"),
        lambda: httpx.Response(500, json={}),
        lambda: httpx.Response(302, headers={"location": "https://other.example"}, json={}),
        lambda: httpx.Response(200, text="<html>"),
        lambda: httpx.Response(200, json=["a"]),
        lambda: httpx.Response(200, content=b"[" * 100_000),
        lambda: httpx.Response(200, content=b" " * 2_000_000),
        lambda: httpx.Response(200, headers={"content-encoding": "br"}, content=b"x"),
    ],
)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
async def test_a_provider_that_fails_is_told_in_a_sentence_and_asked_again(
    oidc: Oidc,
    scripted: ScriptedProvider,
    path: str,
    answer: Callable[[], httpx.Response | Exception],
) -> None:
    scripted.instead[path] = answer()
    with pytest.raises(ProviderUnavailable, match="login service"):
        await log_in(oidc, scripted)
    scripted.instead.clear()
    assert (await log_in(oidc, scripted)).person.name == "ada"


async def test_a_refusal_is_told_without_the_providers_own_text(oidc: Oidc) -> None:
    _, attempt = await oidc.begin(BACK)
    with pytest.raises(LoginRefused, match="did not let you in"):
        await oidc.finish(attempt, {"state": attempt.state, "error": "access_denied"}, BACK)
    answer = {"state": attempt.state, "error": "x\r\n" * 400, "error_description": "call 555"}
    with pytest.raises(LoginRefused) as caught:
        await oidc.finish(attempt, answer, BACK)
    assert "555" not in caught.value.message
    assert len(caught.value.message) < 300


async def test_an_answer_in_the_name_of_another_provider_is_refused(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    url, attempt = await oidc.begin(BACK)
    answer = scripted.authorize(url)
    with pytest.raises(LoginRefused, match="another login service"):
        await oidc.finish(attempt, answer | {"iss": "https://other.example"}, BACK)
    login = await oidc.finish(attempt, answer | {"iss": ISSUER}, BACK)
    assert login.person.name == "ada"


async def test_a_provider_that_names_itself_has_to(scripted: ScriptedProvider) -> None:
    scripted.metadata = {"authorization_response_iss_parameter_supported": True}
    async with scripted.http as http:
        oidc = Oidc(OidcProvider(http, ISSUER), OidcClient(CLIENT, SECRET))
        with pytest.raises(LoginRefused, match="another login service"):
            await log_in(oidc, scripted)


async def test_claims_that_the_token_lacks_are_asked_for(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    scripted.claims = {"groups": None}
    scripted.userinfo = {"sub": "248289761001", "groups": ["hr"], "preferred_username": "eve"}
    login = await log_in(oidc, scripted)
    assert login.person.groups == {"hr"}
    assert login.person.name == "ada"
    scripted.userinfo["sub"] = "somebody else"
    with pytest.raises(LoginRefused):
        await log_in(oidc, scripted)


@pytest.mark.parametrize("name", [None, "", 17, "a b", "ada:x", "../ada", "ä", "a" * 65, ["ada"]])
async def test_a_name_that_cannot_be_used_is_told_with_the_setting(
    oidc: Oidc, scripted: ScriptedProvider, name: Any
) -> None:
    scripted.claims = {"preferred_username": name}
    scripted.metadata = {"userinfo_endpoint": None}
    with pytest.raises(LoginRefused, match="PULLFORGE_OIDC_NAME_CLAIM"):
        await log_in(oidc, scripted)


async def test_an_address_that_is_not_verified_is_nobodys_name(scripted: ScriptedProvider) -> None:
    client = OidcClient(CLIENT, SECRET, name_claim="email")
    async with scripted.http as http:
        oidc = Oidc(OidcProvider(http, ISSUER), client)
        for verified in (None, False, "true"):
            scripted.claims = {"email": "ada@example.org", "email_verified": verified}
            with pytest.raises(LoginRefused, match="verified"):
                await log_in(oidc, scripted)
        scripted.claims["email_verified"] = True
        assert (await log_in(oidc, scripted)).person.name == "ada@example.org"


@pytest.mark.parametrize(
    ("claim", "groups"),
    [
        (None, set()),
        ([], set()),
        ("staff", {"staff"}),
        (["/staff/data", "a b", "", "x" * 256, "new\nline"], {"/staff/data", "a b"}),
    ],
)
async def test_groups_are_what_the_claim_lists(
    oidc: Oidc, scripted: ScriptedProvider, claim: Any, groups: set[str]
) -> None:
    scripted.claims = {"groups": claim}
    scripted.metadata = {"userinfo_endpoint": None}
    assert (await log_in(oidc, scripted)).person.groups == groups


@pytest.mark.parametrize("claim", [17, {"a": 1}, ["a", 1], ["x"] * 1001])
async def test_a_claim_that_is_no_list_of_groups_is_refused(
    oidc: Oidc, scripted: ScriptedProvider, claim: Any
) -> None:
    scripted.claims = {"groups": claim}
    with pytest.raises(LoginRefused, match="groups"):
        await log_in(oidc, scripted)


async def test_logging_out_ends_the_login_at_the_provider_too(
    oidc: Oidc, scripted: ScriptedProvider
) -> None:
    url = await oidc.logout_url("token", "https://registry.example/login")
    assert url is not None
    assert url.startswith(f"{ISSUER}/logout?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "client_id": CLIENT,
        "id_token_hint": "token",
        "post_logout_redirect_uri": "https://registry.example/login",
    }


async def test_a_provider_without_logout_is_none(scripted: ScriptedProvider) -> None:
    scripted.metadata = {"end_session_endpoint": None}
    async with scripted.http as http:
        oidc = Oidc(OidcProvider(http, ISSUER), OidcClient(CLIENT, SECRET))
        assert await oidc.logout_url(None, BACK) is None


async def test_a_real_provider_logs_people_in(oidc_issuer: str) -> None:
    async with httpx.AsyncClient() as http:
        claims = {"preferred_username": "grace", "groups": ["navy"], "name": "Grace Hopper"}
        await http.put(f"{oidc_issuer}/users/7", json=claims)
        oidc = Oidc(OidcProvider(http, oidc_issuer), OidcClient(CLIENT, SECRET))
        url, attempt = await oidc.begin("http://127.0.0.1:1/login/callback")
        reply = await http.post(url, data={"sub": "7"})
        back = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
        login = await oidc.finish(attempt, back, "http://127.0.0.1:1/login/callback")
        assert login.person == Person(
            oidc_issuer, "7", "grace", "Grace Hopper", "", frozenset({"navy"})
        )
        logout = await oidc.logout_url(login.id_token, "http://127.0.0.1:1/login")
        assert logout is not None
        assert (await http.get(logout)).status_code == 200


async def test_a_real_provider_that_somebody_denies_says_so(oidc_issuer: str) -> None:
    async with httpx.AsyncClient() as http:
        oidc = Oidc(OidcProvider(http, oidc_issuer), OidcClient(CLIENT))
        url, attempt = await oidc.begin("http://127.0.0.1:1/login/callback")
        reply = await http.post(url, data={"action": "deny"})
        back = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
        with pytest.raises(LoginRefused):
            await oidc.finish(attempt, back | {"state": attempt.state}, "x")
