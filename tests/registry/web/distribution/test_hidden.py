"""What is private is, for those who may not see it, what was never pushed."""

import base64
import json
from collections.abc import AsyncIterator

import pytest

from builder.oci.digest import digest_of
from registry.auth.access import Access
from registry.auth.entitlements import Entitlements
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy, Policy
from registry.content.names import parse_repository
from tests.registry.accounts import basic, policy_of, still, user
from tests.registry.asgi import Client, HeaderPairs, Reply, assert_oci_error, open_client
from tests.registry.auth.grants import Spaces, give_token, grant
from tests.registry.fakes import FakeService
from tests.registry.pushing import manifest_of

pytestmark = pytest.mark.anyio

CONFIG, LAYER = b"{}", b"\x1f\x8b what only the team may read"
MANIFEST = manifest_of(CONFIG, LAYER)
#: There is one, and not the other.
PRIVATE, UNKNOWN = "team/forecast", "none/forecast"
ADA, BOB = basic("ada"), basic("bob")


@pytest.fixture
def entitlements() -> Entitlements:
    found = Entitlements(Spaces({"team", "other"}))
    found.put_grant(grant("user:ada", "admin", "team/*"))
    return found


@pytest.fixture
async def client(
    house: FakeService, entitlements: Entitlements, anyio_backend: str
) -> AsyncIterator[Client]:
    policy = policy_of(user("ada"), user("bob", "mine/**:*", "none/y:push", "team/y:push"))
    house.access = Access(FixedPolicy(policy), Logins(still), entitlements)
    async with open_client(house.app()) as client:
        for data in (CONFIG, LAYER):
            url = f"/v2/{PRIVATE}/blobs/uploads/?digest={digest_of(data)}"
            assert (await client.post(url, data, authorization=ADA)).status == 201
        kind = json.loads(MANIFEST)["mediaType"]
        url = f"/v2/{PRIVATE}/manifests/v1"
        pushed = await client.put(url, MANIFEST, content_type=kind, authorization=ADA)
        assert pushed.status == 201
        yield client


async def token_for(client: Client, name: str, authorization: str | None = None) -> str:
    headers = {"authorization": authorization} if authorization else {}
    reply = await client.get(f"/v2/token?scope=repository:{name}:pull,push", **headers)
    return f"Bearer {reply.json()['token']}"


def said(reply: Reply, name: str) -> tuple[int, dict[str, str], str]:
    lines = {key: value.replace(name, "<name>") for key, value in reply.headers.items()}
    return (
        reply.status,
        {**lines, "x-request-id": "", "content-length": ""},
        reply.body.decode().replace(name, "<name>"),
    )


URLS = [
    ("GET", "manifests/v1"),
    ("HEAD", "manifests/v1"),
    ("GET", f"manifests/{digest_of(MANIFEST)}"),
    ("GET", "manifests/absent"),
    ("GET", f"blobs/{digest_of(LAYER)}"),
    ("HEAD", f"blobs/{digest_of(LAYER)}"),
    ("GET", f"blobs/{digest_of(b'absent')}"),
    ("GET", "tags/list"),
    ("GET", f"referrers/{digest_of(MANIFEST)}"),
    ("PUT", "manifests/v1"),
    ("DELETE", "manifests/v1"),
    ("DELETE", f"blobs/{digest_of(LAYER)}"),
    ("POST", "blobs/uploads/"),
    ("GET", "blobs/uploads/1"),
    ("POST", "manifests/v1"),
]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("nothing", 401),
        ("a wrong password", 401),
        ("nobody's token", 404),
        ("bob", 404),
        ("bob's token", 404),
        ("his personal token", 404),
    ],
)
async def test_nothing_tells_whether_it_exists(
    client: Client, entitlements: Entitlements, who: str, status: int
) -> None:
    secret, _ = give_token(entitlements, "bob")
    for method, rest in URLS:
        replies = []
        for name in (PRIVATE, UNKNOWN):
            authorization = {
                "nothing": "",
                "a wrong password": basic("ada", "wrong"),
                "nobody's token": await token_for(client, name),
                "bob": BOB,
                "bob's token": await token_for(client, name, BOB),
                "his personal token": f"Bearer {secret}",
            }[who]
            lines: HeaderPairs = [("Authorization", authorization)] if authorization else []
            replies.append(await client.request(method, f"/v2/{name}/{rest}", lines))
        private, unknown = replies
        if 429 in {private.status, unknown.status}:
            assert who == "a wrong password"
            continue
        assert said(private, PRIVATE) == said(unknown, UNKNOWN), (method, rest)
        if method in {"GET", "HEAD"} and "uploads" not in rest:
            is_list = rest.startswith("referrers") and status == 404
            assert private.status == (200 if is_list else status), (method, rest)
        assert LAYER not in private.body


async def test_wrong_passwords_are_counted_once_for_each_request(client: Client) -> None:
    # The clock stands: every six seconds a try is given back, and ten may take as long.
    for name in (PRIVATE, UNKNOWN):
        client.address = f"192.0.2.{len(name)}"
        for _ in range(10):
            reply = await client.get(
                f"/v2/{name}/tags/list", authorization=basic(name.partition("/")[0], "wrong")
            )
            assert reply.status == 401
        reply = await client.get(
            f"/v2/{name}/tags/list", authorization=basic(name.partition("/")[0], "wrong")
        )
        assert reply.status == 429


@pytest.mark.parametrize("rest", ["tags/list?n=x", "referrers/x", "manifests/bad%20tag"])
async def test_what_cannot_be_answered_tells_no_more(client: Client, rest: str) -> None:
    for name in (PRIVATE, "team/unknown", UNKNOWN):
        client.address = f"192.0.2.{len(name)}"
        wrong = basic(name, "wrong")
        for _ in range(10):
            reply = await client.get(f"/v2/{name}/{rest}", authorization=wrong)
            assert reply.status == 401
        reply = await client.get(f"/v2/{name}/{rest}", authorization=wrong)
        assert reply.status == 429, "they are counted, and so they were verified"
        status = 404 if "manifests" in rest else 400
        assert (await client.get(f"/v2/{name}/{rest}", authorization=BOB)).status == status
        assert (await client.get(f"/v2/{name}/{rest}")).status == 401
    reply = await client.get(f"/v2/{PRIVATE}/{rest}", authorization=ADA)
    assert reply.status == status


async def test_what_is_open_is_answered_without_a_look_at_credentials(
    client: Client, entitlements: Entitlements
) -> None:
    entitlements.put_grant(grant("everyone", "viewer", PRIVATE))
    for _ in range(15):
        for rest in ("tags/list", "manifests/v1"):
            reply = await client.get(f"/v2/{PRIVATE}/{rest}", authorization=basic("x", "wrong"))
            assert reply.status == 200
        reply = await client.get(f"/v2/{PRIVATE}/tags/list?n=x", authorization=basic("x", "wrong"))
        assert reply.status == 400


async def test_engines_are_asked_for_credentials_that_then_suffice(client: Client) -> None:
    reply = await client.get(f"/v2/{PRIVATE}/manifests/v1")
    assert_oci_error(reply, 401, "UNAUTHORIZED")
    assert f'scope="repository:{PRIVATE}:pull"' in reply.headers["www-authenticate"]
    for authorization in (ADA, await token_for(client, PRIVATE, ADA)):
        reply = await client.get(f"/v2/{PRIVATE}/manifests/v1", authorization=authorization)
        assert (reply.status, reply.body) == (200, MANIFEST)


async def test_a_token_of_the_database_works_at_every_door_until_it_is_revoked(
    client: Client, entitlements: Entitlements
) -> None:
    secret, number = give_token(entitlements, "ada", f"{PRIVATE}:pull")
    bearer = await token_for(client, PRIVATE, basic("x", secret))
    ways = [f"Bearer {secret}", basic("ada", secret), bearer]
    url = f"/v2/{PRIVATE}/manifests/v1"
    for way in ways:
        assert (await client.get(url, authorization=way)).status == 200
        assert (await client.get("/v2/", authorization=way)).status == 200
        reply = await client.post(f"/v2/{PRIVATE}/blobs/uploads/", authorization=way)
        assert reply.status in {401, 403}, "its scope is narrower than its owner's role"
    entitlements.remove_token(number)
    for way in ways:
        assert (await client.get(url, authorization=way)).status == 401
        assert (await client.get("/v2/", authorization=way)).status == 401
    refused = await client.get("/v2/token", authorization=basic("ada", secret))
    assert refused.status == 401


async def test_what_everyone_may_see_is_served_to_strangers(
    client: Client, entitlements: Entitlements
) -> None:
    opened = grant("everyone", "viewer", PRIVATE)
    entitlements.put_grant(opened)
    url = f"/v2/{PRIVATE}/manifests/v1"
    assert (await client.get(url)).status == 200
    missing = await client.get(f"/v2/{PRIVATE}/manifests/absent")
    assert_oci_error(missing, 404, "MANIFEST_UNKNOWN")
    blob = await client.get(f"/v2/{PRIVATE}/blobs/{digest_of(b'absent')}")
    assert_oci_error(blob, 404, "BLOB_UNKNOWN")
    entitlements.remove_grant(opened.id)
    assert (await client.get(url)).status == 401


async def test_a_blob_of_what_is_hidden_is_not_mounted(client: Client, house: FakeService) -> None:
    digest = digest_of(LAYER)
    for query in (f"mount={digest}&from={PRIVATE}", f"mount={digest}"):
        reply = await client.post(f"/v2/mine/x/blobs/uploads/?{query}", authorization=BOB)
        assert reply.status == 202
    assert not await house.pushed_blobs.has(parse_repository("mine/x"), digest)


async def test_the_catalog_leaves_out_what_one_may_not_see(
    client: Client, house: FakeService, entitlements: Entitlements
) -> None:
    house.access = Access(
        FixedPolicy(policy_of(user("ada"), user("eve", "**:catalog"))), Logins(still), entitlements
    )
    entitlements.put_grant(grant("user:rex", "auditor"))
    secret, _ = give_token(entitlements, "rex")
    async with open_client(house.app()) as other:
        for authorization, names in ((basic("eve"), []), (f"Bearer {secret}", [PRIVATE])):
            reply = await other.get("/v2/_catalog", authorization=authorization)
            assert reply.json() == {"repositories": names}


async def test_a_bearer_token_reads_the_same_for_what_is_hidden_and_what_is_not_there(
    client: Client,
) -> None:
    for authorization in (None, BOB):
        payloads = []
        for name in (PRIVATE, UNKNOWN):
            token = await token_for(client, name, authorization)
            body = token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(body + "=="))
            payloads.append([[verb, one.replace(name, "")] for verb, one in claims["needs"]])
        assert payloads[0] == payloads[1] == [["pull", ""]]


async def test_without_an_auth_file_tokens_suffice(
    house: FakeService, entitlements: Entitlements
) -> None:
    house.access = Access(FixedPolicy(Policy()), Logins(still), entitlements)
    entitlements.put_signing_key("5" * 64)
    secret, number = give_token(entitlements, "ada")
    async with open_client(house.app()) as client:
        assert (await client.get("/v2/")).status == 401
        nobody = await token_for(client, "env/numpy")
        reply = await client.get("/v2/env/numpy/manifests/latest", authorization=nobody)
        assert reply.status == 200
        assert (await client.get("/v2/", authorization=nobody)).status == 200
        for name in (PRIVATE, UNKNOWN):
            reply = await client.get(f"/v2/{name}/tags/list", authorization=nobody)
            assert_oci_error(reply, 404, "NAME_UNKNOWN")
        bearer = await token_for(client, PRIVATE, basic("ada", secret))
        begun = await client.post(f"/v2/{PRIVATE}/blobs/uploads/", authorization=bearer)
        assert begun.status == 202
        entitlements.remove_token(number)
        begun = await client.post(f"/v2/{PRIVATE}/blobs/uploads/", authorization=bearer)
        assert begun.status == 401


async def test_where_there_are_no_namespaces_strangers_are_told_what_is_not_there(
    house: FakeService,
) -> None:
    house.access = Access(FixedPolicy(policy_of(user("ada"))), Logins(still))
    async with open_client(house.app()) as client:
        reply = await client.get(f"/v2/{UNKNOWN}/tags/list")
        assert_oci_error(reply, 404, "NAME_UNKNOWN")
