"""What can be no name of a namespace or an environment leads to nothing, before anything else."""

from pathlib import Path

import pytest

from registry.web.api.catalog_routes import CATALOG
from registry.web.api.documents import PREFIX
from tests.registry.web.api.catalog import ADA, ROOT, make_notebook, make_site, refused, send
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

ODD = ["a%00da", "ada%00", "Ada", "a%0Ada", "%FF", "a" * 101, "*"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


async def test_an_address_with_what_is_no_slug_is_answered_as_one_where_nothing_is(
    site: Site,
) -> None:
    async with site.open() as client:
        await make_notebook(client, wish("tool"))
        before = await send(client, "GET", f"{PREFIX}/namespaces/ada", ROOT)
        for path, methods in CATALOG.items():
            for method in methods if "{namespace}" in path else ():
                for odd in ODD:
                    url = _filled(path, odd, "notebook")
                    for who in (ROOT, ADA):
                        reply = await send(client, method, url, who, {"name": "new"})
                        refused(reply, 404, "NAMESPACE_UNKNOWN")
                    if "{environment}" in path:
                        url = _filled(path, "ada", odd)
                        reply = await send(client, method, url, ROOT, {"name": "new"})
                        refused(reply, 404, "ENVIRONMENT_UNKNOWN")
        after = await send(client, "GET", f"{PREFIX}/namespaces/ada", ROOT)
        assert (after.status, after.body) == (200, before.body)


def _filled(path: str, namespace: str, environment: str) -> str:
    path = path.replace("{namespace}", namespace).replace("{environment}", environment)
    for name in ("number", "id", "a", "b"):
        path = path.replace(f"{{{name}}}", "1")
    return PREFIX + path
