import datetime
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from builder.errors import NoWheel, Unsatisfiable, UnsupportedItem
from builder.image_name import canonical_name
from builder.lock import Lock, from_yaml, to_yaml
from conformance.channel.index import index_channel
from conformance.channel.server import ChannelServer
from conformance.channel.writer import Entry, Package, write_package
from conformance.pypi import settings as pypi_settings
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.wiring.building import Builder, open_builder
from tests.tiny_index import write_tiny_index

pytestmark = pytest.mark.anyio

TODAY = datetime.date(2026, 11, 1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel with a Python, and a ``tool`` and an ``array`` that install modules for it."""
    directory = tmp_path_factory.mktemp("channel")
    for subdir in ("linux-64", "linux-aarch64"):
        write_package(
            Package("python", "3.11.9", subdir=subdir, entries=[Entry("bin/python")]), directory
        )
        write_package(Package("zlib", "1.3", subdir=subdir, entries=[Entry("lib/z")]), directory)
    metadata = b"Name: tool\nRequires-Dist: speedup; extra == 'fast'\n"
    for name, data in (("tool", metadata), ("array", b"")):
        info = Entry(f"site-packages/{name}-2.5.dist-info/METADATA", data)
        package = Package(
            name, "2.5", subdir="noarch", noarch="python", depends=("python",), entries=[info]
        )
        write_package(package, directory)
    index_channel(directory)
    return directory


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChannelServer]:
    with ChannelServer(write_tiny_index(tmp_path_factory.mktemp("index"))) as server:
        yield server


@pytest.fixture
def settings(channel: Path, index: ChannelServer, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "store": str(tmp_path / "store"),
            "channels": {"main": channel.as_uri()},
            "default_channels": ["main"],
            "platforms": ["linux-64", "linux-aarch64"],
            "workers": 1,
            **pypi_settings(index.url),
        }
    )


@pytest.fixture
async def builder(settings: Settings, anyio_backend: str) -> AsyncIterator[Builder]:
    async with open_builder(settings, Metrics()) as opened:
        yield opened


async def lock(builder: Builder, name: str) -> Lock:
    spec = await builder.resolver.spec(f"env/{name}", "bare", builder.policy, TODAY)
    return await builder.resolver.lock(spec, lambda _: None)


def versions(made: Lock, platform: str = "linux-64") -> tuple[dict[str, str], dict[str, str]]:
    """Return what is locked from conda and from PyPI."""
    conda = {r.name: r.version for p, rs in made.platforms.items() if p == platform for r in rs}
    wheels = {w.name: w.version for p, ws in made.wheels.items() if p == platform for w in ws}
    return conda, wheels


async def test_projects_of_pypi_get_a_python_and_are_locked_for_each_platform(
    builder: Builder,
) -> None:
    made = await lock(builder, "pypi--native.pypi--library.lt.2")
    for platform in ("linux-64", "linux-aarch64"):
        assert versions(made, platform) == (
            {"python": "3.11.9"},
            {"library": "1.0", "native": "1.0"},
        )
    assert made.wheels["linux-64"][1].url != made.wheels["linux-aarch64"][1].url
    assert from_yaml(to_yaml(made)) == made


async def test_what_conda_installs_is_not_installed_again(builder: Builder) -> None:
    made = await lock(builder, "tool.array.pypi--array-user.pypi--tool")
    assert versions(made) == (
        {"array": "2.5", "python": "3.11.9", "tool": "2.5"},
        {"array-user": "1.0", "library": "2.0"},
    )


async def test_extras_of_condas_packages_are_added_from_pypi(builder: Builder) -> None:
    made = await lock(builder, "tool.pypi--extra-user")
    assert versions(made)[1] == {"extra-user": "1.0", "speedup": "1.0"}


async def test_condas_version_is_not_replaced(builder: Builder) -> None:
    with pytest.raises(Unsatisfiable, match=r"conda provides tool 2\.5 and you require tool<2"):
        await lock(builder, "tool.pypi--tool.lt.2")


async def test_a_platform_without_wheels_is_left_out_unless_it_is_the_first(
    builder: Builder,
) -> None:
    made = await lock(builder, "pypi--amd-only")
    assert list(made.platforms) == ["linux-64"]
    assert "no wheel of 'amd-only==1.0'" in made.left_out["linux-aarch64"]
    with pytest.raises(NoWheel, match="as source only"):
        await lock(builder, "pypi--source-only")


async def test_a_lock_without_projects_of_pypi_asks_no_index(
    builder: Builder, index: ChannelServer
) -> None:
    index.reset()
    made = await lock(builder, "zlib")
    assert made.wheels == {}
    assert versions(made)[0] == {"zlib": "1.3"}
    assert index.requests() == {}


async def test_pypi_can_be_switched_off(builder: Builder, settings: Settings) -> None:
    spec = await builder.resolver.spec("env/pypi--tool", "bare", builder.policy, TODAY)
    assert canonical_name(spec) == "env/pypi--tool:bare"
    off = settings.model_copy(update={"pypi": False})
    async with open_builder(off, Metrics()) as without:
        with pytest.raises(UnsupportedItem, match="which this server does not offer"):
            await without.resolver.lock(spec, lambda _: None)
