import pytest

from builder.network.mirrors import NO_MIRRORS, MirroredChannel, Mirrors, identity_of, moved
from builder.spec import Channel, EnvironmentSpec

FORGE = Channel("conda-forge", "https://conda.anaconda.org/conda-forge")
LABEL = Channel("dev", "https://conda.anaconda.org/conda-forge/label/dev")
MIRRORS = Mirrors(((FORGE.url, "https://mirror.test/forge"), (LABEL.url, LABEL.url)))


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        (f"{FORGE.url}/noarch/a-1-0.conda", "https://mirror.test/forge/noarch/a-1-0.conda"),
        (f"{LABEL.url}/noarch/a-1-0.conda", f"{LABEL.url}/noarch/a-1-0.conda"),
        (f"{FORGE.url}-old/noarch/a-1-0.conda", f"{FORGE.url}-old/noarch/a-1-0.conda"),
        ("https://cdn.test/noarch/a-1-0.conda", "https://cdn.test/noarch/a-1-0.conda"),
    ],
)
def test_what_lies_in_a_channel_is_fetched_from_its_mirror_alone(url: str, fetched: str) -> None:
    assert MIRRORS.fetched(url) == fetched
    assert NO_MIRRORS.fetched(url) == url


def test_errors_name_a_channel_and_its_mirror_and_nothing_that_is_not_used() -> None:
    archive = f"{FORGE.url}/noarch/a-1-0.conda"

    assert MIRRORS.told(FORGE.url, archive) == f"{FORGE.url} (from https://mirror.test/forge)"
    assert MIRRORS.told(FORGE.url, "https://cdn.test/noarch/a-1-0.conda") == FORGE.url
    assert MIRRORS.channel(FORGE).told == "'conda-forge' (from https://mirror.test/forge)"
    assert MIRRORS.channel(LABEL).told == "'dev'"


def test_a_channel_as_it_is_fetched_knows_what_it_is() -> None:
    assert MIRRORS.channel(FORGE) == MirroredChannel(
        "conda-forge", "https://mirror.test/forge", FORGE.url
    )
    assert identity_of(MIRRORS.channel(FORGE)) == identity_of(FORGE) == FORGE.url
    assert MIRRORS.channel(LABEL) is LABEL


def test_of_two_channels_with_one_mirror_the_first_has_its_packages() -> None:
    pairs = [("https://m.test/a", "https://first.test"), ("https://m.test/a", "https://last.test")]

    assert moved("https://m.test/a/noarch/a-1-0.conda", pairs).startswith("https://first.test/")


def test_a_specification_has_the_digest_that_it_had_before_there_were_mirrors() -> None:
    spec = EnvironmentSpec((), (FORGE,), ("linux-64",), ())

    assert spec.digest == "7e3aa20097d9e28d85d7ca0547d5d73b98f470c98184a1849176c01476e4847f"
