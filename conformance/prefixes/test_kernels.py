"""Kernels of environments, as Jupyter from PyPI lists them and works with them."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.missing import skip_unless_ci
from conformance.prefixes.jupyter import Jupyter
from conformance.prefixes.site import SPACE, Built, Node, Site

NAME = f"{SPACE}-notebook"
_WORK = """
import numpy
table = numpy.arange(100, dtype=float).reshape(10, 10) + numpy.eye(10)
print(round(float(numpy.linalg.solve(table, table @ numpy.arange(10)).sum()), 6))
"""
_PACKAGES = ("ipykernel", "numpy", "activatedemo", "python=3.11")


@dataclass(frozen=True)
class Hub:
    """A root, a directory of kernels, and those who use them."""

    site: Site
    node: Node
    kernels: Path
    jupyters: tuple[Jupyter, Jupyter]

    def sync(self) -> None:
        """Make root and kernels equal to what the server says."""
        self.node.sync("--kernels", str(self.kernels))


@pytest.fixture(scope="module")
def hub(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Hub]:
    """Keep an environment with a kernel, and one without."""
    if os.geteuid() != 0:
        skip_unless_ci("only root has somebody else run something")
    with Site(paths, channel.url) as site:
        site.build(f"{SPACE}/notebook", *_PACKAGES, VERSION="one", HINT="{prefix} it's $HOME")
        site.build(f"{SPACE}/plain", "python=3.11")
        node = site.node()
        kernels = site.home / "share" / "jupyter" / "kernels"
        jupyters = (
            Jupyter(site.home, kernels, "newest"),
            Jupyter(site.home, kernels, "oldest"),
        )
        yield Hub(site, node, kernels, jupyters)


@pytest.fixture
def first(hub: Hub) -> Built:
    """Have the first version be the active one."""
    hub.site.activate(f"{SPACE}/notebook", 1)
    hub.sync()
    key = hub.node.link(f"{SPACE}/notebook").resolve().name
    return Built(f"{SPACE}/notebook", 1, key)


@pytest.mark.parametrize("number", [0, 1], ids=["newest", "oldest"])
def test_jupyter_lists_and_runs_the_kernel_activated(hub: Hub, first: Built, number: int) -> None:
    """Somebody does real work with it who may write nothing."""
    jupyter = hub.jupyters[number]
    specs = jupyter.kernels()
    assert list(specs) == [NAME]
    assert specs[NAME]["display_name"] == f"notebook ({SPACE})"
    mark = specs[NAME]["metadata"]["pullforge"]
    assert (mark["version"], mark["key"]) == (1, first.key)
    prefix = hub.node.prefix(first)
    with jupyter.session(NAME) as session:
        assert session.run(_WORK) == "45.0"
        assert session.run("import sys; print(sys.prefix)") == str(prefix)
        assert session.run("import os; print(os.environ['CONDA_PREFIX'])") == str(prefix)
        assert session.run("import os; print(os.environ['VERSION'])") == "one"
        assert session.run("import os; print(os.environ['HINT'])") == "{prefix} it's $HOME"
        assert session.run("import os; print(os.environ['ENVVARSDEMO'])") == "from json"
        which = "import shutil; print(shutil.which('python'))"
        assert session.run(which) == f"{prefix}/bin/python"


def test_a_cell_can_be_interrupted(hub: Hub, first: Built) -> None:
    """The signal reaches the kernel, not a shell before it."""
    assert first.number == 1
    with hub.jupyters[0].session(NAME) as session:
        forever = "print('busy', flush=True)\nwhile True: pass"
        assert session.run(forever, interrupt=True).endswith("KeyboardInterrupt")
        assert session.run("print(6 * 7)") == "42"


def test_a_kernel_goes_on_in_its_version_until_it_is_started_anew(hub: Hub, first: Built) -> None:
    """Modules that it imports after the switch are those of its version."""
    with hub.jupyters[0].session(NAME) as session:
        second = hub.site.build(first.path, *_PACKAGES, "numpy=1.26.4", VERSION="two")
        hub.sync()
        spec = hub.jupyters[0].kernels()[NAME]
        assert spec["metadata"]["pullforge"]["version"] == second.number
        old = hub.node.prefix(first)
        assert session.run("import numpy; print(numpy.__file__)").startswith(f"{old}/")
        session.restart()
        assert session.run("import numpy; print(numpy.__version__)") == "1.26.4"
        assert session.run("import os; print(os.environ['VERSION'])") == "two"


def test_a_kernel_vanishes_with_its_environment(hub: Hub) -> None:
    """One that others have put beside it stays."""
    hub.site.build(f"{SPACE}/short", "ipykernel")
    hub.sync()
    assert f"{SPACE}-short" in hub.jupyters[0].kernels()
    mine = hub.kernels / "mine"
    shutil.copytree(hub.kernels / f"{SPACE}-short", mine)
    spec = mine / "kernel.json"
    spec.write_text(spec.read_text().replace('"pullforge": {', '"mine": {'))
    hub.site.delete(f"{SPACE}/short")
    hub.sync()
    assert f"{SPACE}-short" not in hub.jupyters[0].kernels()
    assert "mine" in hub.jupyters[0].kernels()
    shutil.rmtree(mine)
