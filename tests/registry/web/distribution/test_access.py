"""Who gets what over HTTP: challenges, tokens, refusals."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from builder.oci.digest import digest_of
from registry.auth.access import Access
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy, Policy
from registry.auth.tokens import LIFETIME_SECONDS
from registry.content.names import parse_repository
from tests.registry.accounts import PASSWORD, TOKEN, access_of, basic, policy_of, robot, user
from tests.registry.asgi import Client, Reply, assert_oci_error, open_client
from tests.registry.fakes import FakeService

pytestmark = pytest.mark.anyio

OPEN = "/v2/env/numpy/manifests/latest"
PRIVATE = "/v2/env/secret/manifests/latest"
MINE = "/v2/team/x/manifests/latest"
UPLOADS = "/v2/team/x/blobs/uploads/"
IDENTITIES = (
    user("ada", "team/*:pull,push,delete", "env/secret:pull"),
    user("bob"),
    robot("ci", "team/x:push"),
)
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@pytest.fixture
async def guarded(house: FakeService, anyio_backend: str) -> AsyncIterator[Client]:
    house.access = access_of(*IDENTITIES, private=("env/secret", "team/**"))
    async with open_client(house.app()) as client:
        yield client


def challenge_of(reply: Reply) -> dict[str, str]:
    scheme, _, fields = reply.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(CHALLENGE.findall(fields))


async def token_for(client: Client, *scopes: str, name: str = "", secret: str = PASSWORD) -> str:
    query = urlencode([("service", "pullforge"), *(("scope", scope) for scope in scopes)])
    headers = {"authorization": basic(name, secret)} if name else {}
    reply = await client.get(f"/v2/token?{query}", **headers)
    assert reply.status == 200, reply
    assert reply.headers["cache-control"] == "no-store"
    content = reply.json()
    assert content["token"] == content["access_token"]
    assert content["expires_in"] == LIFETIME_SECONDS
    return f"Bearer {content['token']}"


async def test_without_users_nothing_is_asked_for_and_nothing_can_be_written(
    house: FakeService,
) -> None:
    house.access = Access(FixedPolicy(), Logins())
    async with open_client(house.app()) as client:
        assert (await client.get("/v2/")).status == 200
        assert (await client.get(OPEN, authorization=basic("ada"))).status == 200
        reply = await client.request("POST", UPLOADS, [("authorization", basic("ada"))])
        message = assert_oci_error(reply, 403, "DENIED")
        assert message == (
            "nobody may push to 'team/x' here: the administrator has to set PULLFORGE_AUTH_FILE"
            " and to add users with 'pullforge user add'"
        )
        assert_oci_error(await client.get("/v2/token"), 404, "UNSUPPORTED")


async def test_docker_learns_from_the_api_that_it_has_to_ask_for_tokens(guarded: Client) -> None:
    reply = await guarded.get("/v2/")
    assert_oci_error(reply, 401, "UNAUTHORIZED")
    expected = {"realm": "http://registry.test/v2/token", "service": "pullforge"}
    assert challenge_of(reply) == expected
    for credentials in (
        await token_for(guarded),
        await token_for(guarded, name="ada"),
        basic("ada"),
        basic("ci", TOKEN),
    ):
        assert (await guarded.get("/v2/", authorization=credentials)).status == 200


@pytest.mark.parametrize(
    "credentials",
    [basic("ada", "wrong"), basic("", ""), "Basic ä", "Basic !", "Bearer x", "Bearer", "Digest x"],
)
async def test_credentials_that_are_none_are_refused(guarded: Client, credentials: str) -> None:
    for path in ("/v2/", PRIVATE):
        reply = await guarded.get(path, authorization=credentials)
        assert_oci_error(reply, 401, "UNAUTHORIZED")
        assert challenge_of(reply)["service"] == "pullforge"


async def test_what_is_open_is_served_whatever_credentials_come_along(guarded: Client) -> None:
    for headers in ({}, {"authorization": "Bearer old"}, {"authorization": basic("x", "y")}):
        assert (await guarded.get(OPEN, **headers)).status == 200
        assert (await guarded.head(OPEN, **headers)).status == 200


async def test_what_is_private_is_for_those_with_a_right(guarded: Client) -> None:
    reply = await guarded.get(PRIVATE)
    message = assert_oci_error(reply, 401, "UNAUTHORIZED")
    assert message == "to pull 'env/secret', log in first, for example with 'docker login'"
    scope = challenge_of(reply)["scope"]
    assert scope == "repository:env/secret:pull"
    token = await token_for(guarded, scope, name="ada")
    for credentials in (basic("ada"), token):
        assert (await guarded.get(PRIVATE, authorization=credentials)).status == 200
        assert (await guarded.head(PRIVATE, authorization=credentials)).status == 200


async def test_no_answer_tells_whether_a_private_repository_exists(
    guarded: Client, house: FakeService
) -> None:
    digest = await house.put_blob(b"private")
    await house.pushed_blobs.mount(parse_repository("team/x"), digest)
    for path in (MINE, f"/v2/team/x/blobs/{digest}", "/v2/team/x/tags/list"):
        other = path.replace("team/x", "team/nothing-here").replace(digest, digest_of(b"?"))
        for headers in ({}, {"authorization": basic("bob")}):
            seen, unseen = await guarded.get(path, **headers), await guarded.get(other, **headers)
            assert seen.status == unseen.status == (403 if headers else 401)
            assert seen.body.replace(b"team/x", b"") == unseen.body.replace(
                b"team/nothing-here", b""
            )


async def test_who_lacks_a_right_is_told_which(guarded: Client) -> None:
    token = await token_for(guarded, "repository:env/secret:pull", name="bob")
    for credentials in (basic("bob"), token):
        message = assert_oci_error(
            await guarded.get(PRIVATE, authorization=credentials), 403, "DENIED"
        )
        assert message == (
            "'bob' may not pull 'env/secret':"
            " the administrator can give the right 'env/secret:pull'"
        )


async def test_a_token_is_good_for_what_it_was_asked_for(guarded: Client) -> None:
    token = await token_for(guarded, "repository:team/y:pull", name="ada")
    reply = await guarded.get(PRIVATE, authorization=token)
    assert_oci_error(reply, 401, "UNAUTHORIZED")
    challenge = challenge_of(reply)
    assert (challenge["error"], challenge["scope"]) == (
        "insufficient_scope",
        "repository:env/secret:pull",
    )


async def test_a_token_without_a_name_does_not_open_what_is_private(guarded: Client) -> None:
    token = await token_for(guarded, "repository:env/secret:pull")
    reply = await guarded.get(PRIVATE, authorization=token)
    assert_oci_error(reply, 401, "UNAUTHORIZED")
    assert challenge_of(reply)["error"] == "insufficient_scope"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", UPLOADS, "repository:team/x:pull,push"),
        ("PATCH", UPLOADS + "1", "repository:team/x:pull,push"),
        ("PUT", UPLOADS + "1", "repository:team/x:pull,push"),
        ("GET", UPLOADS + "1", "repository:team/x:pull,push"),
        ("DELETE", UPLOADS + "1", "repository:team/x:pull,push"),
        ("PUT", MINE, "repository:team/x:pull,push"),
        ("DELETE", MINE, "repository:team/x:delete"),
        ("DELETE", f"/v2/team/x/blobs/{digest_of(b'')}", "repository:team/x:delete"),
    ],
)
async def test_writing_needs_a_right(guarded: Client, method: str, path: str, scope: str) -> None:
    reply = await guarded.request(method, path)
    assert_oci_error(reply, 401, "UNAUTHORIZED")
    assert challenge_of(reply)["scope"] == scope
    bob = [("authorization", basic("bob"))]
    assert_oci_error(await guarded.request(method, path, bob), 403, "DENIED")
    for credentials in (basic("ada"), await token_for(guarded, *scope.split(), name="ada")):
        reply = await guarded.request(method, path, [("authorization", credentials)])
        assert reply.status not in {401, 403}, reply


async def test_who_may_push_may_not_delete(guarded: Client) -> None:
    robot_line = [("authorization", basic("ci", TOKEN))]
    assert (await guarded.request("POST", UPLOADS, robot_line)).status == 202
    assert_oci_error(await guarded.request("DELETE", MINE, robot_line), 403, "DENIED")


async def test_a_blob_is_mounted_only_for_those_who_may_pull_it(
    guarded: Client, house: FakeService
) -> None:
    """Who may not is told nothing: they upload the blob, as if it were not there."""
    digest = await house.put_blob(b"private")
    await house.pushed_blobs.mount(parse_repository("team/private"), digest)
    for path in (f"{UPLOADS}?mount={digest}&from=team/private", f"{UPLOADS}?mount={digest}"):
        ci = await guarded.request("POST", path, [("authorization", basic("ci", TOKEN))])
        assert ci.status == 202
    assert not await house.pushed_blobs.has(parse_repository("team/x"), digest)
    ada = await guarded.request("POST", path, [("authorization", basic("ada"))])
    assert ada.status == 201


async def test_nobody_can_push_to_what_is_made_here(guarded: Client) -> None:
    reply = await guarded.request("PUT", OPEN, [("authorization", basic("ada"))])
    assert_oci_error(reply, 405, "UNSUPPORTED")


async def test_a_right_that_was_taken_away_ends_at_once(
    guarded: Client, house: FakeService
) -> None:
    token = await token_for(guarded, "repository:env/secret:pull", name="ada")
    assert (await guarded.get(PRIVATE, authorization=token)).status == 200
    before = house.access.policy
    source = house.access.source
    assert isinstance(source, FixedPolicy)
    for identities, status in (({"ada": user("ada")}, 403), ({}, 401)):
        after = Policy(before.token_key, identities, before.private)
        object.__setattr__(source, "policy", after)
        for credentials in (token, basic("ada")):
            reply = await guarded.get(PRIVATE, authorization=credentials)
            assert reply.status == status, reply


async def test_a_token_is_given_for_a_form_as_oauth2_has_it(guarded: Client) -> None:
    form = {
        "grant_type": "password",
        "username": "ada",
        "password": PASSWORD,
        "service": "pullforge",
        "scope": "repository:env/secret:pull repository:team/x:push",
        "client_id": "containerd",
    }
    reply = await guarded.request("POST", "/v2/token", body=urlencode(form).encode())
    assert reply.status == 200
    token = f"Bearer {reply.json()['access_token']}"
    assert reply.json()["scope"] == form["scope"]
    assert (await guarded.get(PRIVATE, authorization=token)).status == 200
    wrong = {**form, "password": "x"}
    reply = await guarded.request("POST", "/v2/token", body=urlencode(wrong).encode())
    assert_oci_error(reply, 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "body",
    [b"", b"grant_type=refresh_token&refresh_token=x", b"x" * 70_000, b"&a=" * 300, b"\xff=%ff"],
)
async def test_a_form_that_is_no_login_is_refused(guarded: Client, body: bytes) -> None:
    reply = await guarded.request("POST", "/v2/token", body=body)
    assert_oci_error(reply, 401, "UNAUTHORIZED")
    assert reply.headers["www-authenticate"] == 'Basic realm="pullforge"'


async def test_a_wrong_password_gets_no_token_and_soon_has_to_wait(guarded: Client) -> None:
    for _ in range(10):
        reply = await guarded.get("/v2/token", authorization=basic("ada", "wrong"))
        assert_oci_error(reply, 401, "UNAUTHORIZED")
        assert reply.headers["www-authenticate"] == 'Basic realm="pullforge"'
    reply = await guarded.get("/v2/token", authorization=basic("ada"))
    assert_oci_error(reply, 429, "TOOMANYREQUESTS")
    assert reply.headers["retry-after"] == "6"
    assert (await guarded.get(OPEN)).status == 200


async def test_the_realm_is_where_the_client_is_or_what_the_administrator_says(
    house: FakeService,
) -> None:
    house.access = access_of()
    async with open_client(house.app()) as client:
        for host, realm in (("h:5000", "http://h:5000/"), ('"x', "http://localhost/")):
            reply = await client.get("/v2/", host=host)
            assert challenge_of(reply)["realm"] == f"{realm}v2/token"
    house.public_url = "https://registry.example/prefix"
    async with open_client(house.app()) as client:
        realm = challenge_of(await client.get("/v2/"))["realm"]
        assert realm == "https://registry.example/prefix/v2/token"


async def test_the_log_says_who_and_no_secret(guarded: Client) -> None:
    with capture_logs() as lines:
        token = await token_for(guarded, "repository:env/secret:pull", name="ada")
        await guarded.get(PRIVATE, authorization=token)
        await guarded.get(PRIVATE, authorization=basic("ci", TOKEN))
        await guarded.get(PRIVATE, authorization=basic("ada", "wr0ng-password"))
        form = urlencode({"grant_type": "password", "username": "ada", "password": "wr0ng-form"})
        await guarded.request("POST", "/v2/token", body=form.encode())
        await guarded.get(OPEN)
    answered = [line for line in lines if line["event"] == "answered request"]
    assert [line.get("user") for line in answered] == ["ada", "ada", "ci", None, None, None]
    for secret in (PASSWORD, TOKEN, "wr0ng", token.split()[1], basic("ada").split()[1]):
        assert secret not in str(lines)


async def test_reading_what_is_open_looks_at_no_credentials(house: FakeService) -> None:
    """As fast as without users: nothing is hashed, verified or read."""

    class Untouchable:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was used")

    policy = policy_of(*IDENTITIES, private=("team/**",))
    house.access = type(house.access)(FixedPolicy(policy), Untouchable())  # type: ignore[arg-type]  # must not be used
    async with open_client(house.app()) as client:
        assert (await client.get(OPEN, authorization=basic("ada"))).status == 200
