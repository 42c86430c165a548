"""What namespaces take."""

import pytest

from tests.registry.web.pages.conftest import House
from tests.registry.web.pages.test_people import told

pytestmark = pytest.mark.anyio


async def test_namespaces_are_listed_by_what_they_take_or_by_name(house: House) -> None:
    assert "There are no namespaces yet." in told(await house.show("root", "/ui/storage"))
    for name in ("zeta", "alpha"):
        assert (await house.ask("root", "POST", "/namespaces", {"name": name})).status_code == 201
    for path in ("/ui/storage", "/ui/storage?sort=name&days=7", "/ui/storage?days=nonsense"):
        page = await house.show("root", path)
        names = [link["href"] for link in page.select("td[data-label=Namespace] a")]
        assert names == ["/alpha/-/usage", "/zeta/-/usage"], path
    await house.show("ada", "/ui/storage", 403)
