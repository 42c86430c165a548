"""An index that behaves as pypi.org does, and as its mirrors do."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from builder.errors import IndexUnavailable, Unsatisfiable
from builder.pypi import Uv
from builder.records import WheelRecord
from conformance import pypi
from conformance.channel import ChannelPaths
from conformance.lookalikes import PyPI
from conformance.lookalikes.pypi import Form
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.wiring.building import Builder, open_builder

pytestmark = pytest.mark.anyio

TODAY = datetime.date(2026, 11, 1)

FORMS: tuple[Form, ...] = ("json", "html")

OpenBuilder = Callable[[PyPI], AbstractAsyncContextManager[Builder]]


@pytest.fixture
def anyio_backend() -> str:
    """The loop of the server."""
    return "asyncio"


@pytest.fixture
def building(tmp_path: Path, paths: ChannelPaths) -> OpenBuilder:
    """Open a builder over the local channel and one index."""

    @asynccontextmanager
    async def opened(index: PyPI) -> AsyncIterator[Builder]:
        settings = Settings.model_validate(
            {
                "store": str(tmp_path / "store"),
                "channels": {"conda-forge": paths.channel.as_uri()},
                "private_networks": ["127.0.0.0/8"],
                **index.settings,
            }
        )
        async with open_builder(settings, Metrics()) as builder:
            yield builder

    return opened


async def wheels(builder: Builder, name: str, tag: str = "py3.11-bare") -> dict[str, WheelRecord]:
    """Return the wheels that a name means, by project."""
    spec = await builder.resolver.spec(f"env/{name}", tag, builder.policy, TODAY)
    locked = await builder.resolver.lock(spec, lambda _: None)
    return {wheel.name: wheel for wheel in locked.wheels["linux-64"]}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("metadata", [True, False])
async def test_pages_of_either_form_give_the_same_wheels(
    building: OpenBuilder, form: Form, metadata: bool
) -> None:
    """With the metadata beside the wheels, or read out of them by ranges."""
    with PyPI(pypi.ensure(), forms=[form], metadata=metadata) as index:
        async with building(index) as builder:
            found = await wheels(builder, "pypi--flask")
            assert {"flask", "jinja2", "werkzeug"} <= found.keys()
            path = await builder.packages.archive(found["flask"])
            assert path.stat().st_size > 0
        asked = index.asked("files.pythonhosted.org")
        assert any(".metadata" in place for place in asked) == metadata
        host = index.address("files.pythonhosted.org").partition("://")[2]
        ranges = [seen for seen in index.seen if "range" in seen.headers]
        assert bool(ranges) == (not metadata)
    assert found["flask"].url.split("/")[2] == host


async def test_a_release_that_was_taken_back_is_chosen_by_its_version_alone(
    building: OpenBuilder,
) -> None:
    """As PEP 592 says."""
    yanked = {"six-1.17.0-py2.py3-none-any.whl": "made in haste"}
    for form in FORMS:
        with PyPI(pypi.ensure(), forms=[form], yanked=yanked) as index:
            async with building(index) as builder:
                assert (await wheels(builder, "pypi--six"))["six"].version == "1.16.0"
                exact = await wheels(builder, "pypi--six.eq.1.17.0")
                assert exact["six"].version == "1.17.0"


async def test_a_day_is_refused_where_pages_have_no_times(building: OpenBuilder) -> None:
    """Pages in HTML do not say when something was uploaded: a sentence says what is missing."""
    with PyPI(pypi.ensure(), forms=["html"]) as index:
        async with building(index) as builder:
            with pytest.raises(Unsatisfiable) as error:
                await wheels(builder, "pypi--six", "2024-05-31-py3.11-bare")
        host = index.address("pypi.org").partition("://")[2]
    assert str(error.value) == (
        f"the index of PyPI packages at {host} does not say when its files were uploaded, so that"
        " it has none until 2024-05-31: ask without a date"
    )


async def test_an_index_that_is_limited_is_not_a_missing_project(building: OpenBuilder) -> None:
    """It is told as what is to be tried again."""
    with PyPI(pypi.ensure()) as index:
        index.limit()
        async with building(index) as builder:
            with pytest.raises(IndexUnavailable, match="429 Too Many Requests"):
                await wheels(builder, "pypi--six")


async def test_names_are_found_however_they_are_written(building: OpenBuilder) -> None:
    """pypi.org redirects to the normalized name."""
    with PyPI(pypi.ensure()) as index:
        async with httpx.AsyncClient() as client:
            url = f"{index.address('pypi.org')}/simple/Typing_Extensions"
            assert (await client.get(url)).headers["location"] == "/simple/typing-extensions/"
        async with building(index) as builder:
            assert "typing-extensions" in await wheels(builder, "pypi--typing_extensions")


async def test_what_has_not_changed_is_not_sent_again(building: OpenBuilder) -> None:
    """Pages have validators, and a time for which they need not be asked for again."""
    with PyPI(pypi.ensure()) as index:
        async with building(index) as builder:
            await wheels(builder, "pypi--six")
            await asyncio.gather(*(wheels(builder, f"pypi--six/{n}") for n in ("click", "idna")))
        assert index.asked("pypi.org").count("GET /simple/six/") == 1


async def test_a_machine_without_authorities_can_ask_an_index_without_tls(tmp_path: Path) -> None:
    """A bare Debian has no `ca-certificates`, without which uv does not start by itself."""
    (tmp_path / "wanted.in").write_text("six\n")
    none = tmp_path / "none.pem"
    none.touch()
    with PyPI(pypi.ensure()) as index:
        uv = Uv(
            str(index.settings["pypi_index"]),
            tmp_path / "cache",
            environment={"SSL_CERT_FILE": str(none)},
        )
        assert "six==1.17.0" in (await uv.compile(["wanted.in"], tmp_path)).text
