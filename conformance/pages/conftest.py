"""Debian's chromium, and servers to look at with it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from conformance.channel.server import ChannelServer
from conformance.missing import skip_unless_ci
from conformance.pages.place import Place
from tests.registry.catalog.conftest import postgres
from tests.registry.databases import BOTH, Postgres

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the browser.

    While it runs, so does Playwright's event loop: no test of another module could have its own.
    """
    program = shutil.which("chromium")
    if program is None:
        skip_unless_ci("chromium is not installed; .ci/install does it")
    # As root it refuses its sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=Path(program), args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Start a server with something on every page, over SQLite."""
    with Place() as place:
        yield place


@pytest.fixture(scope="module", params=BOTH)
def either_place(
    request: pytest.FixtureRequest, postgres: Postgres, channel: ChannelServer
) -> Iterator[Place]:
    """Start a server with something on every page, over each database and the local channel."""
    url = postgres.server.database() if request.param == "postgresql" else None
    with Place(url, channel.url) as place:
        yield place
