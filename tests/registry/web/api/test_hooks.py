"""Events in: what hosts of repositories send when something is pushed."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import ADA, NAMESPACES, ROOT, made, make_site, refused, send
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

SOURCES = "/api/v1/sources"
MAIN, TAG = "refs/heads/main", "refs/tags/v1"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


class Hook:
    """A source with a hook."""

    def __init__(self, client: Client, source: Any, hook: Any) -> None:
        self.client = client
        self.source = source
        self.secret = hook["secret"]
        self.url = f"/api/v1/hooks/sources/{source['id']}"
        assert hook["url"].endswith(self.url)

    @classmethod
    async def make(cls, client: Client, **source: Any) -> "Hook":
        await made(client, NAMESPACES, ADA, {"name": "ada"})
        wanted = {"name": "team", "kind": "git", "namespace": "ada", **source}
        wanted.setdefault("location", "file:///nowhere/envs.git")
        document = await made(client, SOURCES, ROOT, wanted)
        hook = await made(client, f"{SOURCES}/{document['id']}/hook", ROOT, None)
        return cls(client, document, hook)

    def hmac(self, body: bytes) -> str:
        return hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()

    async def post(self, body: bytes, **headers: str) -> Reply:
        return await send(self.client, "POST", self.url, None, body, **headers)

    async def signed(self, payload: Any, **headers: str) -> Reply:
        body = json.dumps(payload).encode()
        signature = f"sha256={self.hmac(body)}"
        return await self.post(
            body, content_type="application/json", x_hub_signature_256=signature, **headers
        )


def looks(reply: Reply) -> bool:
    """Tell whether a source is looked at because of what was sent."""
    assert reply.status == 202, reply
    document = reply.json()
    assert document["message"].startswith("source 'team' is ")
    return bool(document["looks"])


def push(ref: str = MAIN, **more: Any) -> dict[str, Any]:
    return {"ref": ref, "repository": {"default_branch": "main"}, **more}


async def test_a_push_that_its_host_signs_has_the_source_looked_at(client: Client) -> None:
    hook = await Hook.make(client)
    assert looks(await hook.signed(push(), x_github_event="push"))


async def test_each_host_shows_the_secret_in_its_own_way(client: Client) -> None:
    hook = await Hook.make(client)
    body = json.dumps(push()).encode()
    digest = hook.hmac(body)
    ways: list[Mapping[str, str]] = [
        {"x_hub_signature_256": f"sha256={digest}"},
        {"x_hub_signature": f"sha256={digest}"},
        {"x_gitea_signature": digest},
        {"x_forgejo_signature": digest},
        {"x_gogs_signature": digest},
        {"x_gitlab_token": hook.secret, "x_gitlab_event": "Push Hook"},
        {"authorization": f"Bearer {hook.secret}"},
        {"authorization": f"bearer  {hook.secret}"},
    ]
    for headers in ways:
        assert looks(await hook.post(body, **headers)), headers


async def test_whoever_lacks_the_secret_is_refused_and_learns_nothing(client: Client) -> None:
    hook = await Hook.make(client)
    body = json.dumps(push()).encode()
    digest = hook.hmac(body)
    wrong: list[Mapping[str, str]] = [
        {},
        {"x_hub_signature_256": f"sha256={hook.hmac(body + b' ')}"},
        {"x_hub_signature_256": digest[:-1]},
        {"x_hub_signature_256": f"sha1={digest}"},
        {"x_hub_signature_256": f"sha256={digest.upper()}"},
        {"x_gitlab_token": ""},
        {"x_gitlab_token": digest},
        {"x_gitlab_token": "\xe4" * 10_000},
        {"authorization": f"Basic {hook.secret}"},
        {"authorization": "Bearer "},
    ]
    sentences = set()
    for headers in wrong:
        reply = await hook.post(body, **headers)
        sentences.add(refused(reply, 401, "UNAUTHORIZED"))
        assert "www-authenticate" in reply.headers
    # A source that there is not is not told from one whose secret is another.
    unknown = await send(client, "POST", "/api/v1/hooks/sources/999999", None, body)
    sentences.add(refused(unknown, 401, "UNAUTHORIZED"))
    assert len(sentences) == 1


async def test_a_source_without_a_hook_is_nobody_s_to_tell_of(client: Client) -> None:
    hook = await Hook.make(client)
    here = f"{SOURCES}/{hook.source['id']}/hook"
    other = (await made(client, here, ROOT, None))["secret"]
    assert other != hook.secret
    reply = await hook.post(b"{}", authorization=f"Bearer {hook.secret}")
    refused(reply, 401, "UNAUTHORIZED")
    assert looks(await hook.post(b"", authorization=f"Bearer {other}"))
    assert (await send(client, "DELETE", here, ROOT)).status == 204
    assert (await send(client, "DELETE", here, ROOT)).status == 204
    for secret in (other, "", "None"):
        refused(await hook.post(b"", authorization=f"Bearer {secret}"), 401, "UNAUTHORIZED")


#: What is sent, the branch of the source (empty: its default one), and whether it is looked at.
PUSHES: Final[list[tuple[Any, str, bool]]] = [
    (push(), "", True),
    (push("refs/heads/other"), "", False),
    (push(TAG), "", False),
    (push("refs/heads/other"), "other", True),
    (push(), "other", False),
    (push("refs/heads/a/b"), "a/b", True),
    # GitLab
    ({"object_kind": "push", "ref": MAIN, "project": {"default_branch": "main"}}, "", True),
    ({"object_kind": "push", "ref": MAIN, "project": {"default_branch": "trunk"}}, "", False),
    ({"object_kind": "push", "ref": MAIN, "project": {"default_branch": None}}, "", True),
    # Bitbucket in the cloud
    ({"push": {"changes": [{"new": {"type": "branch", "name": "main"}}]}}, "main", True),
    ({"push": {"changes": [{"new": {"type": "branch", "name": "main"}}]}}, "", True),
    ({"push": {"changes": [{"new": {"type": "branch", "name": "x"}}]}}, "main", False),
    ({"push": {"changes": [{"new": {"type": "tag", "name": "main"}}]}}, "main", False),
    (
        {"push": {"changes": [{"new": None, "old": {"type": "branch", "name": "main"}}]}},
        "main",
        True,
    ),
    # … and of a server
    ({"changes": [{"ref": {"id": MAIN, "displayId": "main"}}]}, "main", True),
    ({"changes": [{"ref": {"id": TAG}}, {"ref": {"id": MAIN}}]}, "main", True),
    ({"changes": [{"refId": "refs/heads/x", "toHash": "0"}]}, "main", False),
    # Azure DevOps
    (
        {
            "eventType": "git.push",
            "resource": {
                "refUpdates": [{"name": MAIN}],
                "repository": {"defaultBranch": MAIN},
            },
        },
        "",
        True,
    ),
    ({"resource": {"refUpdates": [{"name": "refs/heads/x"}]}}, "main", False),
    # What says nothing of branches is a reason to look.
    ({}, "main", True),
    ([1, None], "main", True),
    ({"ref": 7, "push": [], "changes": {}, "repository": "x"}, "main", True),
]


async def test_a_push_to_another_branch_changes_nothing(client: Client) -> None:
    hook = await Hook.make(client)
    for payload, branch, expected in PUSHES:
        changed = {"branch": branch}
        here = f"{SOURCES}/{hook.source['id']}"
        assert (await send(client, "PATCH", here, ROOT, changed)).status == 200
        assert looks(await hook.signed(payload)) is expected, (payload, branch)


async def test_events_that_are_no_push_are_answered_and_change_nothing(client: Client) -> None:
    hook = await Hook.make(client)
    ping = await hook.signed({"zen": "Keep it logically awesome."}, x_github_event="ping")
    assert "works" in ping.json()["message"]
    others: list[dict[str, str]] = [
        {"x_github_event": "issues"},
        {"x_gitea_event": "create"},
        {"x_gitlab_event": "Tag Push Hook"},
        {"x_event_key": "diagnostics:ping"},
        {"x_event_key": "pullrequest:created"},
    ]
    for headers in others:
        assert not looks(await hook.signed(push(), **headers)), headers
    assert looks(await hook.signed(push(), x_event_key="repo:refs_changed"))


async def test_a_form_as_hosts_send_it_on_wish_is_read(client: Client) -> None:
    hook = await Hook.make(client)
    for ref, expected in ((MAIN, True), (TAG, False)):
        body = urlencode({"payload": json.dumps(push(ref))}).encode()
        reply = await hook.post(
            body,
            content_type="application/x-www-form-urlencoded",
            x_github_event="push",
            x_hub_signature_256=f"sha256={hook.hmac(body)}",
        )
        assert looks(reply) is expected


async def test_a_body_that_cannot_be_read_is_no_failure(client: Client) -> None:
    hook = await Hook.make(client)
    for body in (b"", b"\xff\xfe", b"{", b"[" * 50_000, b'{"ref": "\\ud800"}', b"0" * 100_000):
        reply = await hook.post(body, authorization=f"Bearer {hook.secret}")
        assert reply.status == 202, reply


async def test_no_more_is_read_than_a_file_may_have(client: Client, site: Site) -> None:
    hook = await Hook.make(client)
    reply = await hook.post(b"x" * (4 * 1024**2 + 1), authorization=f"Bearer {hook.secret}")
    refused(reply, 413, "BODY_TOO_LARGE")


async def test_addresses_that_no_source_has_lead_nowhere(client: Client) -> None:
    for number in ("0", "x", "1.5", "9" * 30):
        reply = await send(client, "POST", f"/api/v1/hooks/sources/{number}", None, b"")
        assert reply.status == 404, reply
    assert (await send(client, "GET", "/api/v1/hooks/sources/1")).status == 405
