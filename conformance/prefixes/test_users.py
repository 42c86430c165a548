"""Somebody uses a root who cannot write to it: programs, conda, a kernel of Jupyter."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from conformance import pypi
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.missing import skip_unless_ci
from conformance.prefixes.conda import Conda
from conformance.prefixes.nobody import make_home, outcome, run, run_python
from conformance.prefixes.site import SPACE, Built, Node, Site

_WORK: Final = """
import io, matplotlib, numpy, pandas, sys
matplotlib.use("Agg")
import matplotlib.pyplot as plt
table = pandas.DataFrame({"x": numpy.arange(100), "y": numpy.arange(100) ** 2})
figure, axes = plt.subplots()
table.plot(x="x", y="y", ax=axes)
picture = io.BytesIO()
figure.savefig(picture, format="png")
print(int(table.y.sum()), picture.getvalue()[:4] == b"\\x89PNG")
"""
#: Starts a kernel as Jupyter does, and has it work.
_KERNEL: Final = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
said = []
client.execute_interactive(
    "import sys, numpy; print(sys.prefix, numpy.arange(5).sum())",
    timeout=60,
    output_hook=lambda message: said.append(message["content"].get("text", "")),
)
client.stop_channels()
manager.shutdown_kernel()
print("".join(said).strip())
"""
#: Tries to change everything below a prefix, and prints what it could.
_CHANGES: Final = """
import os, sys
changed = []
for directory, names, files in os.walk(sys.argv[1]):
    try:
        open(os.path.join(directory, "new"), "x").close()
        changed.append(directory)
    except OSError:
        pass
    for name in files:
        path = os.path.join(directory, name)
        if os.path.islink(path):
            continue
        try:
            open(path, "ab").close()
            changed.append(path)
        except OSError:
            pass
print(changed)
"""


@dataclass(frozen=True)
class Lab:
    """A root, and what is in it."""

    site: Site
    node: Node
    notebook: Built
    special: Built
    wheels: Built


@pytest.fixture(scope="module")
def lab(paths: ChannelPaths, channel: ChannelServer, index: ChannelServer) -> Iterator[Lab]:
    """Keep three environments in a root that root owns."""
    if os.geteuid() != 0:
        skip_unless_ci("only root has somebody else run something")
    with Site(paths, channel.url, settings=pypi.settings(index.url)) as site:
        notebook = site.build(f"{SPACE}/notebook", "ipykernel", "matplotlib", "pandas")
        special = site.build(
            f"{SPACE}/special", "python", "activatedemo", "greeter", GREETING="hello, you"
        )
        wheels = site.build(f"{SPACE}/wheels", "python=3.11", pip=["jmespath", "flask"])
        node = site.node()
        node.sync()
        yield Lab(site, node, notebook, special, wheels)


@pytest.fixture(scope="module")
def conda(lab: Lab) -> Conda:
    """Return conda with the environments of the namespace."""
    return Conda(lab.site.home / "conda", lab.node.root / SPACE / "envs")


def test_somebody_else_does_real_work(lab: Lab) -> None:
    """By the link, as scripts of jobs do."""
    link = lab.node.link(lab.notebook.path)
    assert run_python(link, _WORK) == "328350 True"
    assert run(lab.node.link(lab.special.path) / "bin" / "greet")
    assert run(lab.node.link(lab.wheels.path) / "bin" / "flask", "--version").startswith("Python")


def test_somebody_else_changes_nothing(lab: Lab) -> None:
    """No file, no directory, and nothing that is shared; nobody gets rights by a program."""
    assert run("id", "-u") == "65534"
    for place in (lab.node.root, lab.node.prefix(lab.notebook)):
        done = outcome(sys.executable, "-c", _CHANGES, place)
        assert done.stdout.strip() == "[]", done
    found = subprocess.run(
        ["find", str(lab.node.root), "!", "-type", "l", "-perm", "/6022"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == ""


def test_a_kernel_of_jupyter_works(lab: Lab) -> None:
    """Started and used by somebody who may write nothing but his own files."""
    home = lab.site.home / "home-of-nobody"
    make_home(home)
    link = lab.node.link(lab.notebook.path)
    variables = {"HOME": str(home), "PATH": f"{link}/bin:/usr/bin:/bin"}
    printed = run(link / "bin" / "python", "-c", _KERNEL, variables=variables)
    assert printed == f"{link.resolve()} 10", "it stays in its version when the link is switched"


def test_conda_lists_the_environments_and_what_is_in_them(lab: Lab, conda: Conda) -> None:
    """By name and by path, wheels too."""
    found = conda.document("env", "list")["envs"]
    links = {str(lab.node.link(one.path)) for one in (lab.notebook, lab.special, lab.wheels)}
    assert links <= set(found)
    for built in (lab.notebook, lab.special, lab.wheels):
        for chosen in (("-n", built.name), ("-p", str(lab.node.prefix(built)))):
            listed = conda.document("list", *chosen)
            packages = {f"{one['name']}-{one['version']}" for one in listed}
            assert packages == lab.site.packages(built)
    said = conda.says("list", "-n", lab.wheels.name)
    assert any(line.split()[::3] == ["jmespath", "pypi"] for line in said.splitlines()), said


def test_conda_activates_an_environment(lab: Lab, conda: Conda) -> None:
    """Its variables are those of the lock and of its packages; its programs come first."""
    link = lab.node.link(lab.special.path)
    found = conda.activated(lab.special.name, "env; echo WHICH=$(command -v python)")
    assert found["CONDA_PREFIX"] == str(link)
    assert found["WHICH"] == f"{link}/bin/python"
    assert found["GREETING"] == "hello, you"
    assert found["ENVVARSDEMO"] == "from json"
    assert found["ENVVARSDEMO_PREFIX"] == str(lab.node.prefix(lab.special))


def test_conda_changes_no_environment(lab: Lab, conda: Conda) -> None:
    """Not even a variable."""
    done = conda.run("env", "config", "vars", "set", "-n", lab.special.name, "GREETING=bye")
    assert done.returncode != 0
    assert "Permission" in done.stdout + done.stderr
    said = conda.says("env", "config", "vars", "list", "-n", lab.special.name)
    assert said.strip() == "GREETING = hello, you"


def test_the_mark_says_what_an_environment_is(lab: Lab) -> None:
    """A program finds out from its own prefix."""
    program = (
        "import json, sys; print(json.load(open(sys.prefix + '/conda-meta/pullforge'))['key'])"
    )
    assert run_python(lab.node.link(lab.special.path), program) == lab.special.key
