"""Every page and everybody: who gets it is who gets what it asks the API for."""

import pytest

from registry.web.pages.routes import ADDRESSES
from tests.registry.web.pages.every_page.conftest import READERS, Furnished

pytestmark = pytest.mark.anyio

#: What the API answers → what a page does: who has not logged in is sent to do so.
#: A page may keep to itself that there is something which one may not have.
_ANSWERS = {200: {200}, 401: {303}, 403: {403, 404}, 404: {404}}
#: What leads to another page, whoever asks.
_LEADS_ON = {"/{namespace}/{environment}/-/diff"}


async def test_whoever_may_ask_the_api_gets_the_page_and_nobody_else(furnished: Furnished) -> None:
    wrong = []
    for template, page in ADDRESSES.items():
        method, _, asks = page.asks.partition(" ")
        assert method == "GET", f"{template} asks by {method}: it would change something"
        if page.get is None or template in _LEADS_ON:
            continue
        path = furnished.path(template)
        for reader in READERS:
            told = await furnished.house.ask(reader, method, furnished.path(asks))
            browser = await furnished.house.browser(reader)
            shown = await browser.get(path)
            if shown.status_code not in _ANSWERS[told.status_code]:
                wrong.append(
                    f"{reader or 'a stranger'} at {path}: {shown.status_code}, but"
                    f" {told.status_code} at {page.asks}"
                )
                if shown.status_code >= 500:
                    break  # as it does for everybody else
            elif shown.status_code == 303:
                assert shown.headers["location"].startswith("/login?next="), path
    assert not wrong, "\n".join(wrong)
