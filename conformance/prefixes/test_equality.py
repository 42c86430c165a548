"""A prefix is the environment of the image, and what others install at that place, file by file.

Thirty environments and more; what may differ has a name in :mod:`conformance.prefixes.trees`.
"""

import csv
import io
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Final

import pytest
import rattler

from conformance import pypi
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.oci_client import OciClient
from conformance.prefixes import trees
from conformance.prefixes.environments import (
    OF_OTHERS,
    OF_THE_CHANNEL,
    OTHERS,
    Wanted,
    write_others,
)
from conformance.prefixes.locked import Channels
from conformance.prefixes.nobody import run_python
from conformance.prefixes.site import SPACE, Built, Node, Site
from conformance.prefixes.trees import (
    differences,
    directories,
    like_an_image,
    like_rattler,
    of_image,
    of_rattler,
    records,
    wrong_hashes,
)
from conformance.pypi.stored import default_cache
from conformance.wheels.trees import Files, Tree, theirs, tree_of
from tests.integration.known_packages import install_by_rattler

NAMES: Final = (*OF_THE_CHANNEL, *OF_OTHERS)
LEAST: Final = 30
#: Packages that are not compared with rattler's: one lists an empty folder, one was packed on
#: Windows and has files where it lists symlinks, which rattler 0.28 refuses; of two with one path
#: it keeps both, and of two of which one has a folder where the other has a link.
LEFT_OUT: Final = frozenset(
    {"emptydirdemo-1.0-0", "zlib-1.2.11-h7b6447c_3", "clobber-a-1.0-0", "clobber-b-1.0-0"}
    | {"linkdir-folder-1.0-0", "linkdir-link-1.0-0"}
)
#: Empty, where the package lists symlinks.
LOST: Final = {"their-zlib": ["lib/libz.so", "lib/libz.so.1"]}


@dataclass(frozen=True)
class World:
    """Every environment as a version of its own, and a root that has all of them."""

    site: Site
    node: Node
    channels: Channels
    wanted: Mapping[str, Wanted]
    built: Mapping[str, Built]

    def prefix(self, name: str) -> Path:
        """Return where an environment is."""
        return self.node.prefix(self.built[name])


@pytest.fixture(scope="module")
def world(
    paths: ChannelPaths,
    channel: ChannelServer,
    index: ChannelServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """Build all environments, and make the root equal by one command."""
    others = tmp_path_factory.mktemp("others")
    wanted = {**OF_THE_CHANNEL, **write_others(others)}
    channels = {OTHERS: others.as_uri()}
    with Site(paths, channel.url, channels, pypi.settings(index.url)) as site:
        built = {
            name: site.build(f"{SPACE}/{name}", *one.packages, pip=one.pip, channels=one.channels)
            for name, one in wanted.items()
        }
        node = site.node()
        node.sync()
        of = Channels({channel.url: paths.channel, others.as_uri(): others})
        yield World(site, node, of, wanted, built)


def test_there_are_thirty_environments_and_each_is_where_its_link_says(world: World) -> None:
    """One key is one prefix; nothing is left of making them."""
    assert len(world.built) >= LEAST
    links = {one.path: one.key for one in world.built.values()}
    assert world.node.links() == links
    assert world.node.builds() == set(links.values())
    world.node.require_nothing_under_way()


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_those_of_the_image(world: World, name: str, tmp_path: Path) -> None:
    """With this prefix in them; each has the hash that its record gives."""
    client = OciClient(world.site.server.host, tmp_path)
    image = client.pull(f"build/{world.built[name].key}")
    client.close()
    prefix = world.prefix(name)
    ours, of_the_image = like_an_image(prefix), of_image(image, prefix)
    assert differences(directories(ours), directories(of_the_image)) == {}
    assert wrong_hashes(prefix) == LOST.get(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_those_that_rattler_and_pip_install_there(
    world: World, name: str, tmp_path: Path
) -> None:
    """Byte for byte, with the same modes, and the same is written down of each package."""
    locked = world.channels.locked(world.site, world.built[name])
    prefix = world.prefix(name)
    taken = [one for one in locked.conda if _label(one) not in LEFT_OUT]
    install_by_rattler(taken, tmp_path / "theirs", prefix, tmp_path / "cache")
    expected = of_rattler(tmp_path / "theirs", prefix)
    found = like_rattler(prefix, expected)
    for left_out in LEFT_OUT & {_label(one) for one in locked.conda}:
        found = _without(found, left_out, prefix)
    if locked.wheels:
        of_wheels = _of_wheels(prefix)
        cache = default_cache() / "wheels"
        wheels = [cache / sha256 / file for file, sha256 in locked.wheels.items()]
        by_pip = theirs("pip", wheels, tmp_path / "pip")
        assert not isinstance(by_pip, str), by_pip
        assert differences(_contents(tree_of(of_wheels)), _contents(by_pip)) == {}
        known = {path for path, _, _ in of_wheels}
        # A folder that has nothing else is a wheel's.
        left = {path: one for path, one in found.items() if path not in known}
        found = {path: one for path, one in left.items() if one.kind != "directory"}
        expected = {path: one for path, one in expected.items() if one.kind != "directory"}
    for tree in (found, expected):
        tree.pop("conda-meta", None)
    assert differences(directories(found), directories(expected)) == {}
    theirs_say, ours_say = records(tmp_path / "theirs"), records(prefix)
    assert ours_say.keys() - theirs_say.keys() <= {f"{one}.json" for one in LEFT_OUT}
    for file, record in theirs_say.items():
        # What only the package says of itself is kept here, as by conda.
        said = {key: value for key, value in ours_say[file].items() if key in record}
        assert differences(said, record) == {}, file


@pytest.mark.parametrize(
    "name", [one for one in NAMES if one in OF_THE_CHANNEL and OF_THE_CHANNEL[one].program]
)
def test_its_python_does_real_work(world: World, name: str) -> None:
    """From where the link leads, and with the link's own path."""
    wanted = world.wanted[name]
    for place in (world.prefix(name), world.node.link(f"{SPACE}/{name}")):
        assert run_python(place, wanted.program) == wanted.prints


def _label(record: rattler.RepoDataRecord) -> str:
    return f"{record.name.normalized}-{record.version}-{record.build}"


def _without(tree: trees.Tree, package: str, prefix: Path) -> trees.Tree:
    """Return a tree without the files of a package, and without folders that have no other."""
    record = json.loads((prefix / "conda-meta" / f"{package}.json").read_bytes())
    gone = {entry["_path"] for entry in record["paths_data"]["paths"]}
    # A folder of it may be another package's link.
    places = [(prefix / path).parent.resolve() / Path(path).name for path in gone]
    gone |= {str(place.relative_to(prefix.resolve())) for place in places}
    left = {path for path, one in tree.items() if one.kind != "directory"} - gone
    folders = {str(parent) for path in left for parent in Path(path).parents}
    return {path: one for path, one in tree.items() if path in left or path in folders}


def _of_wheels(prefix: Path) -> Files:
    """Return the files of wheels that are in a prefix, by what is written down of each."""
    files: Files = []
    for installer in prefix.glob("lib/python*/site-packages/*.dist-info/INSTALLER"):
        if installer.read_text() != "pullforge\n":
            continue
        rows = csv.reader(io.StringIO((installer.parent / "RECORD").read_text(), newline=""))
        site_packages = installer.parent.parent.relative_to(prefix)
        for row in rows:
            path = normpath(f"{site_packages}/{row[0]}")
            if not path.endswith(".pyc"):
                mode = stat.S_IMODE((prefix / path).stat().st_mode)
                files.append((path, mode, (prefix / path).read_bytes()))
    return files


def _contents(tree: Tree) -> dict[str, tuple[bool, str]]:
    """Return of every file whether it may be executed, and the hash of its content.

    An owner may write what pip installs, and nobody what is in a prefix.
    """
    return {path: (bool(one.mode & 0o111), one.sha256) for path, one in tree.items()}
