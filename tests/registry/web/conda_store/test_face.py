"""Where conda-store's wire is, and which pages of other hosts may use it."""

import pytest
from starlette.applications import Starlette

from registry.app import create_app
from registry.web.api.documents import PREFIX
from registry.web.api.routes import ADDRESSES as OF_API
from registry.web.conda_store import Face
from registry.web.conda_store.addresses import ADDRESSES
from registry.web.conda_store.face import WITH_SLASH, is_for_root
from registry.wiring.services import open_services
from tests.registry.asgi import open_client
from tests.registry.web.api.catalog import ADA
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

STATUS = {"status": "ok", "data": {"version": "2025.2.2"}, "message": None}
HUB = "https://hub.example.org"


def opened(site: Site, face: Face) -> Starlette:
    settings = site.configured()
    return create_app(lambda: open_services(settings), access_log=False, conda_store=face)


async def test_it_is_where_the_setting_says_or_nowhere(site: Site) -> None:
    async with open_client(opened(site, Face("/a/b"))) as client:
        assert (await client.get("/a/b/api/v1/")).json() == STATUS
        assert (await client.get("/conda-store/api/v1/")).status == 404
        assert (await client.get("/api/v1/namespace/")).json().get("status") is None
    async with open_client(opened(site, Face(None, is_at_root=True))) as client:
        assert (await client.get("/conda-store/api/v1/")).status == 404
        assert (await client.get("/api/v1/")).status == 404


async def test_at_the_root_it_answers_what_means_nothing_else_there(site: Site) -> None:
    async with open_client(opened(site, Face(is_at_root=True))) as client:
        for path in ("/api/v1", "/api/v1/", "/conda-store/api/v1/"):
            assert (await client.get(path)).json() == STATUS
        assert "items" in (await client.get("/api/v1/namespaces", authorization=ADA)).json()
        assert b"pullforge_solves" in (await client.get("/metrics")).body
        unknown = (await client.get("/api/v1/nothing")).json()
        assert "error" in unknown


def test_each_address_keeps_one_meaning() -> None:
    own = {PREFIX + address for address in OF_API}
    # With a slash at their end, they are no addresses of the service itself.
    for address in filter(is_for_root, ADDRESSES.keys() - set(WITH_SLASH)):
        parts = address.split("/")
        for other in own:
            others = other.split("/")
            fits = len(parts) == len(others) and all(
                one == two or one.startswith("{") or two.startswith("{")
                for one, two in zip(parts, others, strict=True)
            )
            assert not fits, (address, other)


async def test_pages_of_other_hosts_may_use_it_only_if_the_setting_names_them(site: Site) -> None:
    async with open_client(opened(site, Face(origins=frozenset({HUB})))) as client:
        reply = await client.get("/conda-store/api/v1/", origin=HUB)
        assert reply.headers["access-control-allow-origin"] == HUB
        assert reply.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in reply.headers["vary"]
        asked = [("origin", HUB), ("access-control-request-method", "PUT")]
        before = await client.request("OPTIONS", "/conda-store/api/v1/namespace/ada/", asked)
        assert before.status == 204
        assert "PUT" in before.headers["access-control-allow-methods"]
        assert before.headers["access-control-allow-origin"] == HUB
        refused = await client.get("/conda-store/api/v1/build/999/lockfile/", origin=HUB)
        assert refused.headers["access-control-allow-origin"] == HUB
        for other in ("https://evil.example", "null", f"{HUB}.evil.example", HUB.upper()):
            reply = await client.get("/conda-store/api/v1/", origin=other)
            assert not [name for name in reply.headers if name.startswith("access-control")]
            asked = [("origin", other), ("access-control-request-method", "PUT")]
            before = await client.request("OPTIONS", "/conda-store/api/v1/namespace/ada/", asked)
            assert before.status == 405
            assert not [name for name in before.headers if name.startswith("access-control")]
        elsewhere = await client.get("/api/v1/namespaces", origin=HUB)
        assert "access-control-allow-origin" not in elsewhere.headers
