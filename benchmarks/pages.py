"""``pages``: how long pages take in a large catalog, on the server.

The catalog is that of ``catalog-pages``: ten thousand environments with a hundred thousand
versions, in SQLite and in PostgreSQL. Every page there is is asked for, one after the other, by a
browser whose user sees everything, and by one whose user sees a tenth. The figure is the 95th
percentile of the slowest page.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx

from benchmarks.bench import Bench
from benchmarks.catalog_pages import servers, slowest_figure
from benchmarks.catalog_rows import ADMINISTRATOR, OLD, USER
from benchmarks.figure import Figure
from conformance.pages.furniture import filled
from registry.web.pages.routes import ADDRESSES
from tests.registry.accounts import HASH, PASSWORD, write_policy

_NAMESPACE, _, _ENVIRONMENT = OLD.partition("/")
_POLICY: Final = "company"
#: What stands in the place of each field of an address.
_FIELDS: Final = {
    "namespace": _NAMESPACE,
    "environment": _ENVIRONMENT,
    "number": "10",
    "a": "9",
    "b": "10",
    "user": USER,
    "group": "data",
    "policy": _POLICY,
    "form": "lock",
}
#: What is filtered by, where a page without a filter shows little.
_QUERIES: Final = {
    "/search": "?q=env-0",
    "/ui/packages": "?name=openssl",
    "/new/completions": "?q=num",
}
#: Nothing is shown of what is deleted, and nothing is deleted here; nor is anything proposed.
_LEFT_OUT: Final = ("/-/restore", "/-/diff", "/ui/proposals/{id}")


def measure(bench: Bench) -> Figure:
    """Return the slowest 95th percentile of all pages, in milliseconds."""
    rounds = 2 if bench.short else 40
    found: dict[str, list[float]] = {}
    accounts = _accounts(bench.directory("accounts") / "auth.toml")
    with closing(servers(bench, "pages", auth_file=accounts)) as both:
        for kind, server in both:
            fields = {**_FIELDS, **_automation(server.url)}
            for who in (ADMINISTRATOR, USER):
                with httpx.Client(base_url=server.url, timeout=60) as browser:
                    _log_in(browser, who)
                    fields["waiver"] = _waiver(server.url, who)
                    for name, taken in _measured(browser, fields, rounds).items():
                        found[f"{name} ({who}, {kind})"] = taken
    return slowest_figure(found, rounds, "pages")


def _accounts(path: Path) -> Path:
    """Write passwords of people who have their roles in the database."""
    users = [
        line
        for name in (ADMINISTRATOR, USER)
        for line in (f"[users.{name}]", f"hash = '{HASH}'", "rights = []")
    ]
    write_policy(path, *users)
    return path


def _log_in(browser: httpx.Client, who: str) -> None:
    lines = {"origin": str(browser.base_url).rstrip("/")}
    reply = browser.post("/login", data={"name": who, "password": PASSWORD}, headers=lines)
    assert reply.status_code == httpx.codes.SEE_OTHER, reply.text


def _waiver(url: str, who: str) -> str:
    """Have a policy, and ask for a waiver of it; return its number."""
    with httpx.Client(base_url=f"{url}/api/v1", auth=(who, PASSWORD), timeout=60) as api:
        if who == ADMINISTRATOR:
            text = '[packages]\ndenied = ["left-pad"]\n'
            api.put(f"/policies/{_POLICY}", content=text).raise_for_status()
        asked = {"policy": _POLICY, "spec": "left-pad", "reason": "it is needed"}
        made = api.post("/waivers", json=asked).raise_for_status().json()
        return str(made["items"][0]["id"])


def _automation(url: str) -> Mapping[str, str]:
    """Make a source and a webhook, of which nothing is sent; return the fields of their pages."""
    source = {"name": "files", "kind": "remote", "namespace": _NAMESPACE}
    webhook = {"url": "https://example.org/hook", "namespace": _NAMESPACE}
    with httpx.Client(base_url=f"{url}/api/v1", auth=(ADMINISTRATOR, PASSWORD), timeout=60) as api:
        made = {
            "source": api.post("/sources", json=source).raise_for_status().json()["id"],
            "webhook": api.post("/webhooks", json=webhook).raise_for_status().json()["id"],
        }
        api.patch(f"/webhooks/{made['webhook']}", json={"enabled": False}).raise_for_status()
    return {name: str(number) for name, number in made.items()}


def _pages(fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the address of each page."""
    for template, page in ADDRESSES.items():
        if page.get is None or page.is_file or template.endswith(("/live", *_LEFT_OUT)):
            continue
        yield template, filled(template, fields) + _QUERIES.get(template, "")


def _measured(
    browser: httpx.Client, fields: Mapping[str, str], rounds: int
) -> Mapping[str, list[float]]:
    """Return how long each page took, each time, in milliseconds; those one may not see: none."""
    pages = dict(_pages(fields))
    for name, path in list(pages.items()):
        status = browser.get(path).status_code
        if status in {httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}:
            del pages[name]
        else:
            assert status == httpx.codes.OK, f"{path}: {status}"
    found: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(rounds):
        # In turn: what slows the machine down for a while falls on all of them.
        for name, path in pages.items():
            before = time.perf_counter()
            browser.get(path)
            found[name].append(1000 * (time.perf_counter() - before))
    return found
