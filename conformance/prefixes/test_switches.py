"""A link is switched two hundred times while eight processes use the environment."""

import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.prefixes.nobody import as_nobody
from conformance.prefixes.readers import Readers
from conformance.prefixes.site import SPACE, Built, Node, Site

SWITCHES: Final = 200
#: Prints which build it runs in, and the versions that its modules have, by themselves and by what
#: is installed; is given which prefix it was started for.
PROGRAM: Final = """
import importlib.metadata, json, os, sys
import click, idna
key = json.load(open(os.path.join(sys.prefix, "conda-meta", "pullforge")))["key"]
assert sys.prefix == sys.argv[1] == os.environ["CONDA_PREFIX"], (sys.prefix, sys.argv)
assert os.environ["ACTIVATEDEMO_DATA"] == sys.prefix + "/data"
found = [importlib.metadata.version(name) for name in ("click", "idna")]
print(key, *found, idna.__version__)
"""
#: Waits for a line before it imports a module.
LATE: Final = """
import sys
print("started", flush=True)
sys.stdin.readline()
import click, importlib.metadata
print(importlib.metadata.version("click"))
"""
_SWITCH_SECONDS: Final = 60


@dataclass(frozen=True)
class Switched:
    """An environment of two versions."""

    site: Site
    node: Node
    versions: tuple[Built, Built]

    @property
    def link(self) -> Path:
        """Of the environment."""
        return self.node.link(self.versions[0].path)

    def switch(self, to: Built) -> float:
        """Activate a version; return the seconds until the link leads to it."""
        began = time.monotonic()
        self.site.activate(to.path, to.number)
        while self.link.readlink().name != to.key:
            assert time.monotonic() - began < _SWITCH_SECONDS, "the link is as it was"
            time.sleep(0.005)
        return time.monotonic() - began


@pytest.fixture
def switched(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Switched]:
    """Keep both versions in a root."""
    with Site(paths, channel.url) as site:
        common = ("python=3.11", "activatedemo")
        old = site.build(f"{SPACE}/switched", *common, "click=8.1.7", "idna=3.7")
        new = site.build(f"{SPACE}/switched", *common, "click=8.2.1", "idna=3.10")
        node = site.node()
        node.sync("--versions", "all")
        assert node.builds() == {old.key, new.key}
        yield Switched(site, node, (old, new))


def test_no_reader_meets_a_missing_path_or_a_mixture(switched: Switched) -> None:
    """Every process runs in one version, whole, whichever was active when it looked."""
    old, new = switched.versions
    readers = Readers(switched.link, PROGRAM, switched.site.home / "readers")
    with switched.node.following("--versions", "all"), readers:
        seconds = [switched.switch((old, new)[turn % 2]) for turn in range(SWITCHES)]
    print(
        f"\n{SWITCHES} switches, {readers.printed.total()} runs; a switch took"
        f" {statistics.median(seconds):.2f} s, at most {max(seconds):.2f}"
    )
    assert set(readers.printed) == {
        f"{old.key} 8.1.7 3.7 3.7",
        f"{new.key} 8.2.1 3.10 3.10",
        "through 3",
    }
    switched.node.require_nothing_under_way()


@pytest.mark.parametrize("started_by", ["link", "prefix"])
def test_what_runs_in_an_older_version_goes_on(switched: Switched, started_by: str) -> None:
    """It imports what it had not imported yet, after the switch, until the grace time has ended."""
    old, new = switched.versions
    node, link = switched.node, switched.link
    switched.site.activate(old.path, old.number)
    node.sync()
    home = link if started_by == "link" else link.resolve()
    argv = as_nobody(home / "bin" / "python", "-B", "-c", LATE)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as late:
        assert late.stdout is not None
        assert late.stdout.readline() == "started\n"
        switched.site.activate(new.path, new.number)
        node.sync("--grace", "1h")
        assert link.readlink().name == new.key
        said, _ = late.communicate("go on\n", timeout=60)
    assert said == "8.1.7\n"
    assert node.builds() == {old.key, new.key}
    node.sync("--grace", "0s")
    assert node.builds() == {new.key}
    assert node.links() == {new.path: new.key}
