"""``pullforge prefixes sync`` is killed at random moments, and once more it is run.

Each takes some seconds: there are twenty, or ``PREFIX_KILLS``. What is left after each single step
is tried in ``tests/registry/prefixes/test_killed.py``.
"""

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.prefixes.site import SPACE, Built, Node, Site, kill
from conformance.prefixes.trees import Tree, differences, of_prefix

KILLS: Final = int(os.environ.get("PREFIX_KILLS", "20"))
KILLS_IN_A_ROUND: Final = 5
#: A program that has ended before it could be killed does not count; so many are started at most.
_MOST_STARTED: Final = 4 * KILLS
_SEED: Final = 20261130


@dataclass(frozen=True)
class Harmed:
    """A root that is harmed, and what is to be in it."""

    site: Site
    node: Node
    versions: Sequence[Built]
    #: Of every prefix, by its key.
    trees: dict[str, Tree]

    def activate_any(self, moments: random.Random) -> None:
        """Activate a version of the environment that has several."""
        built = moments.choice(self.versions[:2])
        self.site.activate(built.path, built.number)

    def lose_all(self, _: random.Random) -> None:
        """Remove the root."""
        shutil.rmtree(self.node.root)

    def lose_prefix(self, moments: random.Random) -> None:
        """Remove a prefix, or a directory of it."""
        for prefix in self._any(moments, "builds/*"):
            lost = moments.choice([prefix, prefix / "conda-meta"])
            shutil.rmtree(lost, ignore_errors=True)  # which may be lost already

    def lose_package(self, moments: random.Random) -> None:
        """Remove unpacked packages, and the prefixes that are made of them."""
        for package in self._any(moments, ".packages/*"):
            shutil.rmtree(package)
        for prefix in self._any(moments, "builds/*"):
            shutil.rmtree(prefix)

    def lose_link(self, moments: random.Random) -> None:
        """Remove a link, or have it lead nowhere."""
        for link in self._any(moments, f"{SPACE}/envs/*"):
            link.unlink()
            if moments.random() < 0.5:
                link.symlink_to("../../builds/nowhere")

    def _any(self, moments: random.Random, pattern: str) -> list[Path]:
        found = sorted(self.node.root.glob(pattern))
        return [moments.choice(found)] if found else []

    def require_equal(self) -> None:
        """Assert that the root is what the server says, and that nothing else is there."""
        node = self.node
        keys = {one.key for one in self.versions}
        assert node.builds() == keys
        active = self.site.active(self.versions[0].path)
        first = next(one for one in self.versions if one.number == active)
        assert node.links() == {first.path: first.key, **self._others()}
        for key in keys:
            assert differences(of_prefix(node.root / "builds" / key), self.trees[key]) == {}
        node.require_nothing_under_way()
        assert [*(node.root / ".trash").glob("*")] == []

    def _others(self) -> dict[str, str]:
        return {one.path: one.key for one in self.versions[2:]}


@pytest.fixture
def harmed(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Harmed]:
    """Keep two environments, one of which has two versions, in a root."""
    with Site(paths, channel.url) as site:
        versions = [
            site.build(f"{SPACE}/first", "click=8.1.7", "activatedemo", "python=3.11"),
            site.build(f"{SPACE}/first", "click=8.2.1", "activatedemo", "python=3.11"),
            site.build(f"{SPACE}/second", "bzip2-tools", "hardlinkdemo", "symlinkdemo", "tzdata"),
        ]
        node = site.node()
        node.sync("--versions", "all")
        trees = {one.key: of_prefix(node.prefix(one)) for one in versions}
        yield Harmed(site, node, versions, trees)


def test_one_run_mends_what_several_kills_have_left(harmed: Harmed) -> None:
    """Whatever was under way: unpacking packages, making prefixes, switching links, removing."""
    moments = random.Random(_SEED)
    harms: list[Callable[[random.Random], None]] = [
        *(harmed.activate_any, harmed.lose_all, harmed.lose_prefix),
        *(harmed.lose_package, harmed.lose_link),
    ]
    usual = _seconds(harmed)
    ends: Counter[int] = Counter()
    while ends[-9] < KILLS:
        for _ in range(KILLS_IN_A_ROUND):
            if harmed.node.root.exists():
                moments.choice(harms)(moments)
            process = harmed.node.start("--versions", "all", "--grace", "0s")
            time.sleep(moments.uniform(0.2, 0.9) * usual)
            ends[kill(process)] += 1
        harmed.node.sync("--versions", "all", "--grace", "0s")
        harmed.require_equal()
        assert ends.total() < _MOST_STARTED, ends
    print(f"\nkilled {ends[-9]} of {ends.total()}, each within {usual:.1f} s")


def _seconds(harmed: Harmed) -> float:
    """Return how long it takes to make everything."""
    harmed.lose_all(random.Random())
    began = time.monotonic()
    harmed.node.sync("--versions", "all")
    return time.monotonic() - began
