"""The description of this face has all of its addresses."""

import re
from pathlib import Path
from typing import Final

from openapi_spec_validator import validate

from registry.web.conda_store.addresses import ADDRESSES
from registry.web.conda_store.openapi import openapi_document
from registry.web.conda_store.operations import OPERATIONS
from tests.registry.asgi import Client

DOCS: Final = Path(__file__).parents[4] / "docs" / "conda-store.md"


def test_each_address_is_described_and_nothing_else_is() -> None:
    answered = {(address, method) for address, methods in ADDRESSES.items() for method in methods}
    described = {(address, method) for address, methods in OPERATIONS.items() for method in methods}
    assert answered == described


def test_the_document_is_valid() -> None:
    document = openapi_document("/conda-store")
    validate(document)
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))


async def test_anybody_may_read_it(client: Client) -> None:
    """With and without a slash, and with the prefix that it is read below."""
    for slash in ("", "/"):
        reply = await client.get(f"/conda-store/openapi.json{slash}")
        assert reply.status == 200, reply
        assert reply.json() == openapi_document("/conda-store")


async def test_a_page_has_all_of_them_for_people(client: Client) -> None:
    reply = await client.get("/conda-store/docs")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for address in ADDRESSES:
        assert f"<code>/conda-store{address}</code>".encode() in reply.body


def test_the_table_of_the_docs_has_each_address_and_no_other() -> None:
    told = set()
    for line in DOCS.read_text("utf-8").splitlines():
        if line.startswith("| `/") and len(cells := line.split("|")) == 5:
            addresses = re.findall(r"`(/[^`]*)`", cells[1])
            told |= {(one, method) for one in addresses for method in cells[2].strip().split(", ")}
    assert told == {(address, method) for address in ADDRESSES for method in ADDRESSES[address]}
