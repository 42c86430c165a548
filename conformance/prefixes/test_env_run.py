"""Programs that are run in environments of this machine, as ``pullforge env run`` starts them."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import command, run_checked
from conformance.missing import skip_unless_ci
from conformance.oci_client import OciClient
from conformance.prefixes.nobody import as_nobody, make_home
from conformance.prefixes.site import BOB, SPACE, Built, Node, Site
from tests.builder.install.prefix.loop_disk import loop_disk

#: Has room for the small environment, and not for the large one.
SMALL_MIB: Final = 64
_SECONDS: Final = 300
_WORK: Final = "import pandas, numpy; print(int(pandas.Series(numpy.arange(5)).sum()))"


@dataclass(frozen=True)
class Lab:
    """A server, and environments of it."""

    site: Site
    #: Two that have almost all packages in common.
    pair: tuple[Built, Built]
    #: Sets variables in every way.
    special: Built
    small: Built
    large: Built


@pytest.fixture(scope="module")
def lab(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Lab]:
    """Build all of them."""
    with Site(paths, channel.url) as site:
        yield Lab(
            site,
            (
                site.build(f"{SPACE}/one", "python=3.11", "pandas"),
                site.build(f"{SPACE}/two", "python=3.11", "pandas", "click", "six"),
            ),
            site.build(
                f"{SPACE}/special",
                *("python=3.11", "activatedemo", "libgdal", "shebangdemo"),
                GREETING="hello, 'you' $HOME",
            ),
            site.build(f"{SPACE}/small", "bzip2-tools", "hardlinkdemo"),
            site.build(f"{SPACE}/large", "numpy", "pandas"),
        )


@dataclass(frozen=True)
class Desk:
    """Somebody's place at a machine."""

    node: Node
    #: Where caches are.
    cache: Path
    is_nobody: bool = False

    def run(
        self, name: str, *argv: str, options: Sequence[str] = (), code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in an environment; it ends with ``code``."""
        words = command("env", "run", *options, name, "--", *argv)
        return run_checked(
            as_nobody(*words) if self.is_nobody else words,
            {**self.node.environment, "XDG_CACHE_HOME": str(self.cache)},
            _SECONDS,
            code,
        )

    @property
    def root(self) -> Path:
        """Of its environments."""
        [found] = self.cache.glob("pullforge/prefixes/*")
        return found

    def packages(self) -> set[str]:
        """Return the packages that are unpacked, by name and version."""
        found = set()
        for index in self.root.glob(".packages/*/package.json"):
            name, version, _ = json.loads(index.read_bytes())["label"].rsplit("-", 2)
            found.add(f"{name}-{version}")
        return found


def desk(site: Site) -> Desk:
    """Return the place of somebody who has logged in."""
    node = site.node()
    return Desk(node, node.home / "cache")


def test_a_similar_environment_costs_what_is_new_of_it(lab: Lab) -> None:
    """Of the second one only two packages are fetched, and what it writes is little."""
    here, (one, two) = desk(lab.site), lab.pair
    assert here.run(one.path, "python", "-c", _WORK).stdout == "10\n"
    assert here.packages() == lab.site.packages(one)
    before = used_kib(here.root)
    assert here.run(two.path, "python", "-c", f"import click, six; {_WORK}").stdout == "10\n"
    assert here.packages() == lab.site.packages(one) | lab.site.packages(two)
    assert used_kib(here.root) - before < before / 4
    # Where the server is away, what is here is run by its key.
    assert here.run(f"build/{two.key}", "python", "-c", _WORK).stdout == "10\n"


def test_a_program_has_the_variables_of_the_image(lab: Lab, tmp_path: Path) -> None:
    """Those of packages, of their scripts and of the lock; the image has its base's as well."""
    here = desk(lab.site)
    said = here.run(lab.special.path, "env", "-0").stdout
    found = dict(line.split("=", 1) for line in said.split("\0") if line)
    prefix = here.root / "builds" / lab.special.key
    image = OciClient(lab.site.server.host, tmp_path).pull(f"build/{lab.special.key}")
    wanted = dict(line.split("=", 1) for line in image.config["config"]["Env"])
    assert found.pop("PATH").startswith(f"{prefix}/bin:")
    assert wanted.pop("PATH").startswith("/opt/conda/bin:")
    assert wanted["GREETING"] == "hello, 'you' $HOME"
    assert {"ACTIVATEDEMO", "ENVVARSDEMO_PREFIX", "GDAL_DATA", "CONDA_PREFIX"} <= set(wanted)
    wanted = {name: value.replace("/opt/conda", str(prefix)) for name, value in wanted.items()}
    assert {name: found.get(name) for name in wanted} == wanted
    assert here.run(lab.special.path, "shebangdemo").stdout == f"{prefix}\n"


def test_a_root_of_the_machine_is_used_by_somebody_else(lab: Lab) -> None:
    """Who may not write there; what is new is linked in a cache of his own, from copies."""
    if os.geteuid() != 0:
        skip_unless_ci("only root has somebody else run something")
    one, two = lab.pair
    machine = lab.site.node()
    machine.sync("--only", one.path)
    node = lab.site.node(BOB)
    body = {"subject": BOB, "role": "viewer", "environment": "*"}
    lab.site.admin.must(lab.site.server, "POST", f"/namespaces/{SPACE}/grants", body)
    subprocess.run(["chown", "-R", "65534:65534", str(node.home)], check=True)
    cache = node.home / "cache"
    make_home(cache)
    bob = Desk(node, cache, is_nobody=True)
    options = ["--root", str(machine.root)]
    program = "import sys; print(sys.prefix)"
    place = machine.prefix(one)
    assert bob.run(one.path, "python", "-c", program, options=options).stdout == f"{place}\n"
    assert list(cache.iterdir()) == []
    printed = bob.run(two.path, "python", "-c", _WORK, options=options).stdout
    assert printed == "10\n"
    made = bob.root / "builds" / two.key
    common = "lib/python3.11/site-packages/pandas/__init__.py"
    assert (made / common).read_bytes() == (place / common).read_bytes()
    assert not (made / common).samefile(place / common)


def test_a_full_disk_is_one_sentence_and_leaves_what_there_was(lab: Lab) -> None:
    """What fits is run then; a larger one, as soon as there is room."""
    if os.geteuid() != 0:
        skip_unless_ci("only root mounts file systems")
    with loop_disk("ext4", SMALL_MIB) as disk:
        here = Desk(lab.site.node(), disk)
        assert here.run(lab.small.path, "sh", "-c", "echo $CONDA_PREFIX").stdout.startswith("/")
        refused = here.run(lab.large.path, "true", code=1)
        assert "room" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert list(here.root.glob("**/.making/*")) == []
        assert not (here.root / "builds" / lab.large.key).exists()
        assert here.run(lab.small.path, "true").stderr == ""
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert here.run(lab.small.path + f":{lab.small.key}", "true").stderr == ""
        assert "read-only" in here.run(lab.large.path, "true", code=1).stderr.lower()


def used_kib(directory: Path) -> int:
    """Return what a directory takes on disk, each file once."""
    done = subprocess.run(["du", "-sk", directory], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])
