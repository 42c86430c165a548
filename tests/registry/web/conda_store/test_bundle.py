"""conda-store's interface, where an administrator wants it."""

import gzip
import json
from pathlib import Path

import pytest

from registry.app import create_app
from registry.web.conda_store import Face
from registry.wiring.services import open_services
from tests.registry.asgi import Client, open_client
from tests.registry.web.api.site import Site
from tests.registry.web.conda_store.site import message

pytestmark = pytest.mark.anyio


@pytest.fixture
def ui(tmp_path: Path) -> Path:
    """Return a directory with an interface, and with what nobody is to have."""
    directory = tmp_path / "ui"
    directory.mkdir()
    (directory / "main.js").write_text("console.log('ui')\n" * 100)
    (directory / "main.css").write_text("body { color: green }\n")
    (directory / "secret.txt").write_text("s3cret")
    return directory


async def test_it_is_for_everybody_and_is_told_where_all_is(site: Site, ui: Path) -> None:
    face = Face("/store/conda", ui=ui)
    app = create_app(lambda: open_services(site.configured()), access_log=False, conda_store=face)
    async with open_client(app) as client:
        for path in ("/store/conda", "/store/conda/"):
            home = await client.get(path)
            assert (home.status, home.headers["location"]) == (303, "/store/conda/ui/")
        for path in ("ui", "ui/", "ui/ada/notebook", "ui/not-found"):
            page = await client.get(f"/store/conda/{path}")
            assert page.status == 200
            assert b'src="/store/conda/static/conda-store-ui/main.js"' in page.body
            policy = page.headers["content-security-policy"]
            assert "script-src 'self';" in policy
            assert "http" not in policy
        await files_are_answered(client, ui)
        config = (await client.get("/store/conda/static/conda-store-ui/config.js")).body.decode()
        told = json.loads(config.removeprefix("var condaStoreConfig = ").rstrip(";\n"))
        assert told["REACT_APP_API_URL"] == "/store/conda/"
        assert told["REACT_APP_LOGIN_PAGE_URL"] == "/store/conda/login?next="
        assert told["REACT_APP_URL_BASENAME"] == "/store/conda/ui"
        for path in ("secret.txt", "../secret.txt", "%2e%2e/secret.txt", "main.js/", ""):
            reply = await client.get(f"/store/conda/static/conda-store-ui/{path}")
            assert b"s3cret" not in reply.body
            assert reply.status == 404, path
        posted = await client.post("/store/conda/ui/")
        assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD")


async def files_are_answered(client: Client, ui: Path) -> None:
    for name in ("main.js", "main.css"):
        path = f"/store/conda/static/conda-store-ui/{name}"
        reply = await client.get(path)
        assert reply.body == (ui / name).read_bytes()
        packed = await client.get(path, accept_encoding="gzip, br")
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == reply.body
        same = await client.get(path, if_none_match=reply.headers["etag"])
        assert (same.status, same.body) == (304, b"")


async def test_without_it_the_face_leads_to_the_services_own_pages(client: Client) -> None:
    home = await client.get("/conda-store/")
    assert (home.status, home.headers["location"]) == (303, "/")
    for path in ("ui/", "static/conda-store-ui/main.js", "admin/", "api/v1/nothing", "storage/x"):
        reply = await client.get(f"/conda-store/{path}")
        assert "there is nothing at" in message(reply, 404)
