"""Indexes of channels that have mirrors."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import ChannelUnavailable, PolicyRefused
from builder.lock import Lock, to_yaml
from builder.network.mirrors import Mirrors
from builder.rules.model import Author, ChannelRule, DeniedRule, Rules
from builder.solve import Solver
from builder.spec import Channel, EnvironmentSpec
from tests.builder.fake_channel import FakeChannels, fake_channels, package
from tests.builder.solve.test_solve import TTL_SECONDS, run, spec

FORGE = Channel("conda-forge", "https://conda.anaconda.org/conda-forge")
BIO = Channel("bioconda", "https://conda.anaconda.org/bioconda")


@pytest.fixture
def served() -> Iterator[FakeChannels]:
    """A server with two mirrors, which has nothing else."""
    with fake_channels() as served:
        for name in ("one", "other"):
            served[name].add(package("numpy", "2.0", "zlib >=1!1"), package("zlib", "1!1.3+g1"))
        served["bio"].add(package("samtools", "1.0", "zlib", subdir="noarch"))
        yield served


def solver(directory: Path, *mirrors: tuple[Channel, str]) -> Solver:
    """Return one that fetches channels from mirrors."""
    pairs = tuple((channel.url, mirror) for channel, mirror in mirrors)
    return Solver(
        directory, repodata_ttl_seconds=TTL_SECONDS, max_retries=0, mirrors=Mirrors(pairs)
    )


def lock(one: Solver, wanted: EnvironmentSpec) -> Lock:
    """Return the lock of what is solved."""
    solution = run(one, lambda: one.solve(wanted))
    return Lock(dict(solution), wanted.channels, ())


def test_locks_name_the_channel_whatever_its_mirror_is(
    served: FakeChannels, tmp_path: Path
) -> None:
    wanted = spec("numpy; bioconda::samtools", FORGE, BIO)
    bio = (BIO, f"{served.root}/bio")
    directory = tmp_path / "directory"
    for subdir in ("linux-64", "noarch"):
        (directory / subdir).mkdir(parents=True)
        (directory / subdir / "repodata.json").write_bytes(served["one"].repodata(subdir))

    locks = [
        lock(solver(tmp_path / str(number), (FORGE, mirror), bio), wanted)
        for number, mirror in enumerate(
            [f"{served.root}/one", f"{served.root}/other", directory.as_uri()]
        )
    ]

    assert len({each.key for each in locks}) == 1
    assert len({to_yaml(each) for each in locks}) == 1
    assert served.root.encode() not in to_yaml(locks[0])
    homes = {record.name: record.channel_url for record in locks[0].platforms["linux-64"]}
    assert homes == {"numpy": FORGE.url, "zlib": FORGE.url, "samtools": BIO.url}
    assert not any(record.channel for record in locks[0].platforms["linux-64"])


def test_packages_are_found_where_locks_say_that_they_are(
    served: FakeChannels, tmp_path: Path
) -> None:
    served["one"].old_format.append(package("zlib", "1!1.3+g1"))
    places = ["linux-64/zlib-1!1.3+g1-0.conda", "linux-64/zlib-1!1.3+g1-0.tar.bz2"]
    one = solver(tmp_path, (FORGE, f"{served.root}/one"))

    found = run(one, lambda: one.find(FORGE, "linux-64", places))

    assert [found[place].channel_url for place in places] == [FORGE.url] * 2
    assert found[places[0]].url.startswith(f"{FORGE.url}/linux-64/zlib-1")


def test_what_an_index_says_to_lie_elsewhere_keeps_its_address(
    served: FakeChannels, tmp_path: Path
) -> None:
    """Whoever mirrors an index mirrors ``base_url``, too."""
    for name in ("one", "other"):
        content = json.loads(served[name].repodata("linux-64"))
        content["info"]["base_url"] = "https://cdn.test/packages/linux-64/"
        served[name].body = json.dumps(content).encode()

    locks = [
        lock(solver(tmp_path / name, (FORGE, f"{served.root}/{name}")), spec("zlib", FORGE))
        for name in ("one", "other")
    ]

    assert locks[0].key == locks[1].key
    (record,) = locks[0].platforms["linux-64"]
    assert (record.url.rpartition("/")[0], record.channel) == (
        "https://cdn.test/packages/linux-64",
        FORGE.url,
    )


def test_an_index_may_say_that_its_packages_are_in_the_channel_itself(
    served: FakeChannels, tmp_path: Path
) -> None:
    plain = lock(solver(tmp_path / "one", (FORGE, f"{served.root}/one")), spec("zlib", FORGE))
    content = json.loads(served["other"].repodata("linux-64"))
    content["info"]["base_url"] = f"{FORGE.url}/linux-64/"
    served["other"].body = json.dumps(content).encode()

    said = lock(solver(tmp_path / "other", (FORGE, f"{served.root}/other")), spec("zlib", FORGE))

    assert said.key == plain.key


def test_of_two_channels_with_one_mirror_the_first_has_what_both_have(
    served: FakeChannels, tmp_path: Path
) -> None:
    mirror = f"{served.root}/one"

    found = lock(solver(tmp_path, (FORGE, mirror), (BIO, mirror)), spec("numpy", BIO, FORGE))

    assert {record.channel_url for record in found.platforms["linux-64"]} == {BIO.url}


@pytest.mark.parametrize("status", [503, 403, 404])
def test_an_error_names_the_channel_and_its_mirror(
    served: FakeChannels, tmp_path: Path, status: int
) -> None:
    served["one"].status = status
    one = solver(tmp_path, (FORGE, f"{served.root}/one"), (BIO, f"{served.root}/bio"))

    with pytest.raises(ChannelUnavailable) as error:
        run(one, lambda: one.known_names([FORGE], ["linux-64"]))

    named = f"channel 'conda-forge' (from {served.root}/one) cannot be used: "
    assert error.value.message.startswith(named)


def test_names_and_releases_are_asked_of_the_mirror(served: FakeChannels, tmp_path: Path) -> None:
    async def scenario() -> tuple[frozenset[str], list[str]]:
        names = await one.known_names([FORGE], ["linux-64"])
        releases = await one.releases(FORGE, "linux-64", "numpy", 5)
        return names["conda-forge"], [release.version for release in releases]

    one = solver(tmp_path, (FORGE, f"{served.root}/one"))

    names, versions = run(one, scenario)

    assert sorted(names) == ["numpy", "zlib"]
    assert versions == ["2.0"]


def test_rules_hold_and_leave_out_what_they_would_without_a_mirror(
    served: FakeChannels, tmp_path: Path
) -> None:
    """One build of a version, and a channel: what is left is offered in the channel's place."""
    served["one"].add(package("numpy", "2.0", "zlib >=1!1", build="1", build_number=1))
    author = Author("company")
    rules = Rules(
        denied=(DeniedRule(author, "numpy 2.0 1"),),
        channels=(ChannelRule(author, allowed=("conda-forge",)),),
    )
    one = solver(tmp_path, (FORGE, f"{served.root}/one"))

    solution = run(one, lambda: one.solve(spec("numpy", FORGE), rules))

    assert [f"{record.name} {record.build}" for record in solution["linux-64"]] == [
        "zlib 0",
        "numpy 0",
    ]
    assert {record.channel_url for record in solution["linux-64"]} == {FORGE.url}
    assert not any(record.channel for record in solution["linux-64"])


def test_a_refusal_is_of_the_rule_and_not_of_the_mirror(
    served: FakeChannels, tmp_path: Path
) -> None:
    rules = Rules(denied=(DeniedRule(Author("company"), "zlib"),))
    one = solver(tmp_path, (FORGE, f"{served.root}/one"))

    with pytest.raises(PolicyRefused, match=r"'zlib' is denied"):
        run(one, lambda: one.solve(spec("numpy", FORGE), rules))


def test_a_lock_without_a_mirror_has_the_key_that_it_has_with_one(
    served: FakeChannels, tmp_path: Path
) -> None:
    """What is locked today keeps its key when its channel gets a mirror."""
    home = served["one"].channel
    plain = lock(Solver(tmp_path / "a", max_retries=0), spec("numpy", home))

    mirrored = lock(solver(tmp_path / "b", (home, f"{served.root}/other")), spec("numpy", home))

    assert mirrored == plain
    assert mirrored.key == plain.key
    assert "/other/linux-64/repodata.json" in served.served
