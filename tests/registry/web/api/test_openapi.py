"""The description of the API, held against what the API does."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from openapi_spec_validator import validate
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from registry.app import create_app
from registry.web.api.openapi import openapi_document
from registry.web.api.routes import ADDRESSES
from registry.wiring.services import open_services
from tests.registry.accounts import PASSWORD
from tests.registry.asgi import Client, Reply
from tests.registry.cli.servers import running
from tests.registry.web.api.catalog import (
    ADA,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ask,
    made,
    make_notebook,
    make_site,
    send,
)
from tests.registry.web.api.site import Site, wish

DOCUMENT: Final = openapi_document(ADDRESSES)
#: Of each operation.
EXAMPLES: Final = 8
CHECKS: Final[list[CheckFunction]] = [not_a_server_error, response_schema_conformance]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def test_the_document_is_openapi_and_each_operation_has_a_name_of_its_own() -> None:
    validate(json.loads(json.dumps(DOCUMENT)))
    operations = [one for methods in DOCUMENT["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names)) == sum(len(methods) for methods in ADDRESSES.values())
    assert all(one["summary"].endswith(".") for one in operations)


def conforms(reply: Reply, method: str, template: str) -> None:
    """Assert that a reply is what the document says."""
    operation = DOCUMENT["paths"][template][method.lower()]
    told = operation["responses"][str(reply.status)]
    if "content" in told:
        schema = told["content"]["application/json"]["schema"]
        jsonschema.validate(
            reply.json(), {**schema, "components": DOCUMENT["components"]},
            cls=jsonschema.Draft202012Validator,
        )  # fmt: skip


@pytest.mark.anyio
async def test_what_is_answered_is_what_the_document_says(site: Site) -> None:
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        await ask(client, wish("nothing-like-this"))
        await ask(client, wish("library"), query="?propose")
        lock = (await send(client, "GET", f"{NOTEBOOK}/versions/1/lock", ADA)).body.decode()
        sha256 = re.findall("sha256: ([0-9a-f]{64})", lock)[0]
        proposal = (await send(client, "GET", NOTEBOOK, ADA)).json()["proposal"]
        token = await made(client, "/api/v1/tokens", ADA, {"name": "laptop"})
        grant = {"subject": "bob", "role": "viewer", "expires_at": "2100-01-01T00:00:00+02:00"}
        given_ = await made(client, f"{NAMESPACES}/ada/grants", ADA, grant)
        assert given_["expires_at"] == "2099-12-31T22:00:00Z"
        text = b'mode = "warn"\n[packages]\ndenied = ["tool"]\n'
        for url in ("/api/v1/policies/company", f"{NAMESPACES}/ada/policy"):
            assert (await send(client, "PUT", url, ROOT, text)).status == 200
        wanted = {"policy": "company", "spec": "tool ==2.0", "reason": "a bug is fixed in it"}
        (waiver,) = (await made(client, "/api/v1/waivers", ADA, wanted))["items"]
        schedule = {"cron": "weekly", "timezone": "Europe/Berlin"}
        assert (await send(client, "PUT", f"{NOTEBOOK}/schedule", ADA, schedule)).status == 200
        wanted = {"name": "laptop", "kind": "remote", "namespace": "ada"}
        source = await made(client, "/api/v1/sources", ADA, wanted)
        wanted = {"url": "https://hook.invalid/x", "namespace": "ada"}
        webhook = await made(client, "/api/v1/webhooks", ADA, wanted)
        ping = await send(client, "POST", f"/api/v1/webhooks/{webhook['id']}/ping", ADA)
        member = "/api/v1/groups/staff/members/ada"
        assert (await send(client, "PUT", member, ROOT)).status == 200
        fields = {
            "policy": "company",
            "package": "tool",
            "user": "ada",
            "group": "staff",
            "namespace": "ada",
            "environment": "notebook",
            "number": "1",
            "a": "1",
            "b": "1",
            "delivery": str(ping.json()["id"]),
            "id": str(token["id"]),
            "sha256": sha256,
        }
        seen = 0
        for path, methods in DOCUMENT["paths"].items():
            if "get" not in methods or path.startswith(("/api/v1/builds", "/api/v1/requests")):
                continue
            numbers = {"grants": given_["id"], "waivers": waiver["id"], "proposals": proposal}
            numbers |= {"sources": source["id"], "webhooks": webhook["id"]}
            id_ = str(next((one for part, one in numbers.items() if part in path), fields["id"]))
            url = path.format(**{**fields, "id": id_})
            if path.endswith("/imported-versions"):
                url += "?source=https://old.invalid"
            reply = await send(client, "GET", url, ROOT)
            assert reply.status == 200, (path, reply)
            if reply.headers["content-type"] == "application/json":
                conforms(reply, "GET", path)
                seen += 1
        assert seen >= 15
        await errors_conform(client)


async def errors_conform(client: Client) -> None:
    """Assert that errors are what the document says."""
    template = "/api/v1/namespaces/{namespace}/environments/{environment}"
    conforms(await send(client, "GET", f"{NOTEBOOK}x", ADA), "GET", template)
    conforms(await send(client, "GET", NOTEBOOK), "GET", template)
    conforms(await send(client, "PATCH", NOTEBOOK, ADA, {"x": 1}), "PATCH", template)
    reply = await send(client, "PATCH", NOTEBOOK, ADA, {"description": "x"}, if_match='"77"')
    conforms(reply, "PATCH", template)


@contextmanager
def served(site: Site) -> Iterator[str]:
    """Run a server with something in its catalog; give its address."""
    opened = site.configured()
    app = create_app(lambda: open_services(opened), access_log=False)
    with running(app) as port:
        yield f"http://127.0.0.1:{port}"


def prepare(address: str) -> None:
    """Have something there, whatever was done before."""
    root = f"{address}{NAMESPACES}"
    auth = ("root", PASSWORD)
    notebook = f"{root}/root/environments"
    for url, body in (
        (root, b'{"name": "root"}'),
        (f"{root}/root/restore", b""),
        (f"{notebook}?name=notebook", wish("tool")),
        (f"{notebook}/notebook/restore", b""),
    ):
        assert httpx.post(url, content=body, auth=auth).status_code in {200, 201, 404, 409}


@pytest.mark.timeout(600)
def test_generated_requests_are_answered_as_the_document_says(site: Site) -> None:
    """What schemathesis makes of the document, by an administrator, who gets everywhere."""
    with served(site) as address:
        login = {"Authorization": ROOT}
        schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")
        tried, done = 0, set[str]()
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]  # (or it raises)
            if operation.path.endswith("/events"):
                continue  # followed elsewhere

            prepare(address)

            @given(case=operation.as_strategy(), is_there=strategies.booleans())
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def send_it(case: Any, is_there: bool) -> None:
                nonlocal tried
                tried += 1
                if is_there:
                    known = {"namespace": "root", "environment": "notebook", "number": 1}
                    fields = case.path_parameters or {}
                    fields.update({name: known[name] for name in fields.keys() & known.keys()})
                reply = case.call_and_validate(checks=CHECKS, headers=login, timeout=60)
                if reply.status_code < 300:
                    done.add(case.operation.label)

            send_it()
        assert tried > 200
        assert len(done) >= 20, done
