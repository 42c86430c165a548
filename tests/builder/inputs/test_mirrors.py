"""Channels that have mirrors, by the names that files have for them."""

from dataclasses import replace

import pytest

from builder.lock import Lock, to_yaml
from builder.network.mirrors import Mirrors
from builder.spec import Channel
from tests.builder.inputs.reading import DEFAULTS, packages, read, refused, spec
from tests.builder.records_for_tests import record

MIRROR = "https://mirror.test/forge"
FORGE = Channel("forge", "https://conda.anaconda.org/conda-forge")
MAIN = Channel("main", "https://repo.anaconda.com/pkgs/main")
MIRRORED = replace(
    DEFAULTS,
    channels=(FORGE, MAIN),
    default_channels=("forge",),
    mirrors=Mirrors(((FORGE.url, MIRROR), (MAIN.url, "file:///srv/main"))),
    base=None,
)
SUM = "c9f075ab2f33b3bbee9e62d4ad0a6cd8"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("forge", FORGE),
        (FORGE.url, FORGE),
        (f"{FORGE.url}/", FORGE),
        ("conda-forge", FORGE),
        (MIRROR, FORGE),
        ("pkgs/main", MAIN),
        (MAIN.url, MAIN),
    ],
)
def test_a_file_names_a_channel_as_conda_or_the_server_does(written: str, meant: Channel) -> None:
    wanted = spec(f"channels: [{written}]\ndependencies: [zlib]\n", MIRRORED)

    assert wanted.channels == (meant,)


def test_the_servers_own_name_comes_before_what_conda_means_by_it() -> None:
    own = Channel("conda-forge", "https://conda.test/own")
    policy = replace(MIRRORED, channels=(FORGE, own))

    wanted = spec("channels: [conda-forge]\ndependencies: [zlib]\n", policy)

    assert wanted.channels == (own,)


@pytest.mark.parametrize("name", ["conda-forge/label/dev", "../conda-forge", "mirror.test/forge"])
def test_what_only_looks_like_a_channel_is_refused(name: str) -> None:
    error = refused(f"channels: ['{name}']\ndependencies: [zlib]\n", MIRRORED)

    assert "is not allowed on this server" in error.message


@pytest.mark.parametrize("home", [FORGE.url, MIRROR])
def test_a_list_that_names_the_mirror_means_the_channel(home: str) -> None:
    listed = packages(f"@EXPLICIT\n{home}/linux-64/zlib-1.3-h0_0.conda#{SUM}\n", MIRRORED)

    (package,) = listed.platforms["linux-64"]
    assert package.place.channel == FORGE
    assert package.place.url == f"{FORGE.url}/linux-64/zlib-1.3-h0_0.conda"


def _lock(home: str, channel: str, said: str = "") -> bytes:
    one = replace(record("zlib", data=b"zlib", channel=home), channel=said)
    return to_yaml(Lock({"linux-64": (one,)}, (Channel("forge", channel),), ()))


def test_a_lock_that_names_the_channel_keeps_its_key() -> None:
    sent = _lock(FORGE.url, FORGE.url)

    found = read(sent, MIRRORED)

    assert isinstance(found, Lock)
    assert to_yaml(found) == sent


@pytest.mark.parametrize(
    "sent",
    [
        _lock(MIRROR, FORGE.url),
        _lock(FORGE.url, MIRROR),
        _lock("https://cdn.test/x", FORGE.url, MIRROR),
    ],
)
def test_a_lock_with_a_key_that_names_the_mirror_is_refused(sent: bytes) -> None:
    """It would be another image's key, and of no use when the mirror changes."""
    error = refused(sent, MIRRORED)

    assert f"the mirror of {FORGE.url}, by which locks name it: lock again" in error.message


@pytest.mark.parametrize("name", ["forge", "conda-forge"])
def test_a_lock_with_a_key_names_channels_by_address(name: str) -> None:
    """A name is no address: what compiles its packages would be looked for by it."""
    assert "is not allowed" in refused(_lock(FORGE.url, name), MIRRORED).message
