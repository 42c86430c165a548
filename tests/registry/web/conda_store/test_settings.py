from typing import Any

import pytest

from registry.web.conda_store.merging import SETTINGS
from tests.registry.accounts import basic
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import ADA, BOB, NAMESPACES, ROOT, made, send
from tests.registry.web.api.site import Site
from tests.registry.web.conda_store.people import API
from tests.registry.web.conda_store.site import built, ended, message, specification, submit

pytestmark = pytest.mark.anyio

CEM = basic("cem")
SERVICE = f"{API}/setting/"
SPACE = f"{API}/setting/ada/"
ENVIRONMENT = f"{API}/setting/ada/notebook/"


@pytest.fixture(scope="module")
def client(shared: Client) -> Client:
    return shared


async def put(client: Client, url: str, who: str | None, **settings: Any) -> Reply:
    return await send(client, "PUT", url, who, settings)


async def told(client: Client, url: str, who: str) -> Any:
    reply = await send(client, "GET", url, who)
    assert reply.status == 200, reply
    return reply.json()["data"]


async def test_settings_of_three_scopes_are_merged(client: Client) -> None:
    assert (await submit(client, specification("notebook", "tool"))).status == 200
    audit = "/api/v1/audit?action=setting.set"
    before = len((await send(client, "GET", audit, ROOT)).json()["items"])
    reply = await put(client, SERVICE, ROOT, conda_command="conda", conda_default_packages=["a"])
    assert (reply.status, reply.json()) == (
        200,
        {
            "status": "ok",
            "data": None,
            "message": "global setting keys ['conda_command', 'conda_default_packages'] updated",
        },
    )
    assert (await put(client, SPACE, ADA, conda_default_packages=["b"])).status == 200
    assert (await put(client, ENVIRONMENT, ADA, build_artifacts=["YAML"])).status == 200
    found = [await told(client, url, ROOT) for url in (SERVICE, SPACE, ENVIRONMENT)]
    assert all(one.keys() == SETTINGS.keys() for one in found)
    assert [one["conda_default_packages"] for one in found] == [["a"], ["b"], ["b"]]
    assert [one["build_artifacts"] == ["YAML"] for one in found] == [False, False, True]
    assert {one["conda_command"] for one in found} == {"conda"}
    assert found[0]["conda_default_channels"] == ["main"]
    assert (await put(client, SPACE, ADA, conda_default_packages=[])).status == 200
    assert (await told(client, ENVIRONMENT, ADA))["conda_default_packages"] == []
    events = (await send(client, "GET", audit, ROOT)).json()["items"]
    assert len(events) == before + 4
    assert {one["via"] for one in events} == {"conda-store"}


async def test_settings_are_for_those_whose_they_are(client: Client) -> None:
    space, environment = f"{API}/setting/cem/", f"{API}/setting/cem/nothing/"
    await made(client, NAMESPACES, CEM, {"name": "cem"})
    for url in (SERVICE, space, environment):
        message(await send(client, "GET", url, None), 403)
        message(await put(client, url, None), 403)
    message(await send(client, "GET", SERVICE, ADA), 403)
    message(await put(client, SERVICE, ADA, conda_command="x"), 403)
    for url in (space, environment):
        message(await send(client, "GET", url, BOB), 404)
        message(await put(client, url, BOB, colour="red"), 404)
    grant = {"subject_kind": "user", "subject": "bob", "environment": "*", "role": "editor"}
    await made(client, f"{NAMESPACES}/cem/grants", CEM, grant)
    await told(client, space, BOB)
    message(await put(client, space, BOB, conda_default_packages=[]), 403)
    message(await put(client, space, BOB, conda_allowed_channels=[]), 403)
    message(await send(client, "GET", environment, CEM), 404)
    message(await put(client, environment, CEM, build_artifacts=[]), 404)
    message(await send(client, "GET", f"{API}/setting/none", ROOT), 404)


async def test_what_is_no_setting_is_refused(client: Client) -> None:
    assert (await submit(client, specification("notebook", "tool"))).status == 200
    assert "no setting 'colour'" in message(await put(client, SPACE, ADA, colour="red"), 400)
    message(await put(client, SPACE, ADA, conda_command="x"), 400)
    message(await put(client, SERVICE, ROOT, storage_threshold="much"), 400)
    message(await put(client, SERVICE, ROOT, storage_threshold=2**80), 400)
    message(await put(client, SPACE, ADA, conda_default_packages="tool"), 400)
    message(await put(client, SPACE, ADA, conda_default_packages=["\0"]), 400)
    message(await put(client, SPACE, ADA, pypi_required_packages=["six"]), 400)
    message(await put(client, ENVIRONMENT, ADA, conda_allowed_channels=["main"]), 400)
    message(await put(client, SPACE, ADA, conda_allowed_channels=["https://x.org/c"]), 400)
    message(await put(client, SPACE, ADA, conda_required_packages=["a b c d"]), 400)
    message(await send(client, "PUT", SPACE, ADA, b"[1]"), 400)
    assert (await put(client, SPACE, ADA, pypi_required_packages=[])).status == 200


async def test_what_is_a_policy_only_tightens(client: Client, shared_site: Site) -> None:
    await made(client, NAMESPACES, ROOT, {"name": "strict"})
    space = f"{API}/setting/strict/"
    address = f"file://{shared_site.channel}"
    sent = {"conda_allowed_channels": [address], "conda_included_packages": ["library"]}
    assert (await put(client, SERVICE, ROOT, **sent)).status == 200
    policy = (await send(client, "GET", "/api/v1/policies/conda-store", ROOT)).json()
    assert 'allowed = ["main"]' in policy["text"]
    # Nobody below lifts it: neither by an empty list, nor by another one.
    for channels in ([], ["other", "main"], ["other"]):
        assert (await put(client, space, ROOT, conda_allowed_channels=channels)).status == 200
        found = await told(client, space, ROOT)
        is_none = channels == ["other"]
        assert found["conda_allowed_channels"] == (["none"] if is_none else ["main"])
        assert found["conda_included_packages"] == ["library"]
    reply = await submit(client, specification("notebook", "tool"), ROOT, namespace="strict")
    assert await ended(client, reply.json()["data"]["build_id"]) == "failed"
    assert (await put(client, space, ROOT, conda_allowed_channels=[])).status == 200
    own = (await send(client, "GET", f"{NAMESPACES}/strict/policy", ROOT)).json()
    assert own["own"] is None
    number = await built(client, specification("notebook", "tool"), ROOT, namespace="strict")
    assert await ended(client, number) == "built"
    packages = await send(
        client, "GET", f"{NAMESPACES}/strict/environments/notebook/versions/2/packages", ROOT
    )
    assert {"library", "tool"} <= {one["name"] for one in packages.json()["items"]}
    nothing: dict[str, Any] = {key: [] for key in sent}
    assert (await put(client, SERVICE, ROOT, **nothing)).status == 200
    assert (await send(client, "GET", "/api/v1/policies/conda-store", ROOT)).status == 404


async def test_a_policy_of_a_namespace_keeps_what_settings_do_not_say(client: Client) -> None:
    await made(client, NAMESPACES, ROOT, {"name": "careful"})
    space = f"{API}/setting/careful/"
    text = b'contact = "ada"  # me\n[age]\nminimum = "7 days"\n'
    assert (await send(client, "PUT", f"{NAMESPACES}/careful/policy", ROOT, text)).status == 200
    assert (await put(client, space, ROOT, conda_required_packages=["tool >=1"])).status == 200
    own = (await send(client, "GET", f"{NAMESPACES}/careful/policy", ROOT)).json()["own"]["text"]
    assert own.startswith('contact = "ada"  # me\n')
    assert (await told(client, space, ROOT))["conda_required_packages"] == ["tool >=1"]
    assert (await put(client, space, ROOT, conda_required_packages=[])).status == 200
    own = (await send(client, "GET", f"{NAMESPACES}/careful/policy", ROOT)).json()["own"]["text"]
    assert own.strip() == text.decode().strip()
