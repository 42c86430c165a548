"""What a builder reaches, as its settings say."""

import asyncio
from pathlib import Path

import pytest

from builder.errors import BaseImageError, ChannelUnavailable, UnsafePackage
from builder.network.hosts import SETTING, RefusedHost
from builder.spec import Channel
from registry.settings import MirroredChannel, Settings
from registry.wiring.building import open_builder
from registry.wiring.network import hosts_of
from tests.builder.counting import CountingMetrics
from tests.builder.network.test_forwarding import redirect_indexes
from tests.builder.network.test_hosts import open_site
from tests.builder.records_for_tests import record

SETTINGS = Settings(
    channels={"main": "http://10.1.1.1:8080/main", "team": "http://[fd00::1]/t", "a": "file:///a"},
    default_channels=["main"],
    pypi_index="https://10.2.2.2/simple",
    pypi_hosts=["10.3.3.3"],
    base="10.4.4.4:5000/debian:12",
    bases=["10.5.5.5/team/*", "registry:bases/debian:*", "oci:/srv/base", "*:5000/team/*"],
)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("10.1.1.1", 8080),
        ("fd00::1", 80),
        ("10.2.2.2", 443),
        ("10.3.3.3", 443),
        ("10.4.4.4", 5000),
        ("10.5.5.5", 443),
    ],
)
def test_hosts_that_settings_name_may_have_any_address(host: str, port: int) -> None:
    assert asyncio.run(hosts_of(SETTINGS).addresses(host, port)) == [host]
    with pytest.raises(RefusedHost):
        asyncio.run(hosts_of(SETTINGS).addresses(host, 22))


def test_a_mirror_may_have_any_address_and_the_channel_may_not() -> None:
    """The channel itself is not contacted: its name in locks opens no way into a network."""
    mirrored = MirroredChannel(url="http://10.6.6.6/main", mirror="http://10.7.7.7/main")
    hosts = hosts_of(Settings(channels={"conda-forge": mirrored}))

    assert asyncio.run(hosts.addresses("10.7.7.7", 80)) == ["10.7.7.7"]
    with pytest.raises(RefusedHost):
        asyncio.run(hosts.addresses("10.6.6.6", 80))


def test_nothing_is_named_by_a_setting_that_is_switched_off() -> None:
    hosts = hosts_of(SETTINGS.model_copy(update={"pypi": False}))
    for host in ("10.2.2.2", "10.3.3.3"):
        with pytest.raises(RefusedHost):
            asyncio.run(hosts.addresses(host, 443))


@pytest.mark.parametrize("network", ["10.2.0.0/33", "store.example", "10.2.0.1/16"])
def test_what_is_no_network_is_told_at_start(network: str) -> None:
    with pytest.raises(ValueError, match="private_networks"):
        Settings(private_networks=[network])


@pytest.mark.parametrize("identity", ["", "https://conda.example.org/team"])
def test_a_builder_leads_nobody_to_this_machine(tmp_path: Path, identity: str) -> None:
    """Neither for an index nor for a package nor for a base, nor by way of a mirror."""

    async def scenario() -> list[str]:
        async with open_site() as site, open_site() as inner:
            place, secret = f"127.0.0.1:{site.port}", f"http://127.0.0.1:{inner.port}"
            redirect_indexes(site, secret)
            address = f"http://{place}/team"
            team = identity or address
            mirrored = MirroredChannel(url=team, mirror=address)
            zlib = record("zlib", data=b"bytes", channel=team)
            site.locations["/team/linux-64/zlib-1.0-0.conda"] = f"{secret}/zlib"
            site.locations["/v2/debian/manifests/12"] = f"{secret}/manifest"
            settings = Settings(
                store=str(tmp_path / "store"),
                channels={"team": mirrored if identity else address},
                default_channels=["team"],
                base=f"{place}/debian:12",
            )
            async with open_builder(settings, CountingMetrics()) as builder:
                with pytest.raises(ChannelUnavailable, match=SETTING):
                    await builder.solver.known_names([Channel("team", team)], ["linux-64"])
                with pytest.raises(UnsafePackage, match=SETTING):
                    await builder.packages.archive(zlib)
                with pytest.raises(BaseImageError, match=SETTING):
                    await builder.bases.resolve(f"{place}/debian:12")
            return inner.seen

    assert asyncio.run(scenario()) == []
