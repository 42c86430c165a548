"""What was pulled runs: each engine starts containers, and looks at the environment from inside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.clients import inside
from conformance.clients.engines import Docker, Podman, Runner
from conformance.clients.images import LARGE, MAPS, SIMPLE, SPECIAL
from conformance.clients.matrix import CONTAINERD_2, DOCKER_29, RUNNERS, Engines, every
from conformance.clients.server import Server

#: What is run in the container to look at the environment.
LOOK: Final = Path(inside.__file__).read_text(encoding="utf-8")

Findings = Mapping[str, Any]


@pytest.fixture(scope="module", params=every(RUNNERS))
def findings(request: pytest.FixtureRequest, engines: Engines, server: Server) -> Findings:
    """Return what is inside the large environment, as each engine unpacks it."""
    runner = engines.get(request.param)
    assert isinstance(runner, Runner)
    reference = server.reference(LARGE)
    result = runner.pull(reference)
    assert result.ok, result.output
    found: Findings = json.loads(runner.run(reference, "python", "-c", LOOK))
    return found


def test_records_list_exactly_the_packages_of_the_lock(findings: Findings, server: Server) -> None:
    """``conda list`` and scanners see what was locked, no more and no less."""
    assert findings["packages"] == server.locked_packages(LARGE)
    assert len(findings["packages"]) > 100


def test_every_file_of_every_package_is_there(findings: Findings) -> None:
    """No layer lost anything, and no engine dropped it."""
    assert findings["missing"] == []


def test_every_file_belongs_to_a_package(findings: Findings) -> None:
    """Nothing of the build is left in the image."""
    assert findings["unlisted"] == []


def test_no_placeholder_is_left(findings: Findings) -> None:
    """Prefixes were replaced in text and in binaries."""
    assert findings["prefix"] == "/opt/conda"
    assert findings["placeholders"] == []


def test_noarch_modules_are_compiled(findings: Findings) -> None:
    """Without ``.pyc`` files each container would compile every module it imports."""
    assert findings["uncompiled"] == []


def test_programs_may_be_executed_and_nothing_is_writable_by_all(findings: Findings) -> None:
    """Modes are the packages' own; owner and group are root."""
    assert findings["not_executable"] == []
    assert findings["odd_modes"] == []
    assert findings["foreign"] == []


def test_no_link_leads_nowhere(findings: Findings) -> None:
    """Links and what they lead to may come from different layers."""
    assert findings["dangling"] == []


@pytest.mark.parametrize("runner", every(RUNNERS), indirect=True)
def test_modules_with_binaries_are_imported(runner: Runner, server: Server) -> None:
    """Shared libraries are found across packages and layers."""
    code = "import pandas, ssl, sqlite3, numpy; print(int(numpy.arange(4).sum()))"
    reference = _pull(runner, server, SIMPLE)
    assert runner.run(reference, "python", "-c", code).strip() == "6"


@pytest.mark.parametrize("runner", every(RUNNERS), indirect=True)
def test_entry_points_of_packages_are_commands(runner: Runner, server: Server) -> None:
    """A script of a noarch package, which the builder wrote, and one of a binary package."""
    reference = _pull(runner, server, LARGE)
    assert runner.run(reference, "jupyter", "--version").strip()
    assert "numpy" in runner.run(reference, "f2py", "-v") + runner.run(
        reference, "numpy-config", "--cflags"
    )


@pytest.mark.parametrize(
    "runner", every(("docker", DOCKER_29, "podman", CONTAINERD_2)), indirect=True
)
def test_environment_works_read_only_and_for_any_user(runner: Runner, server: Server) -> None:
    """As Kubernetes runs it with ``runAsNonRoot`` and ``readOnlyRootFilesystem``.

    The ``ctr`` of containerd 1.6 cannot choose the user.
    """
    reference = _pull(runner, server, SIMPLE)
    code = "import os, pandas; print(os.getuid(), pandas.Series([1, 2]).sum())"
    output = runner.run(reference, "python", "-c", code, user="12345:12345", read_only=True)
    assert output.split() == ["12345", "3"]


@pytest.mark.parametrize("runner", every(RUNNERS), indirect=True)
def test_what_activation_scripts_test_for_is_set_for_any_command(
    runner: Runner, server: Server
) -> None:
    """The scripts are as feedstocks write them: they back up, and look for directories."""
    reference = _pull(runner, server, MAPS)
    printed = runner.run(reference, "printenv", "GDAL_DATA", "PROJ_DATA")
    assert printed.split() == ["/opt/conda/share/gdal", "/opt/conda/share/proj"]


@pytest.mark.parametrize("runner", every(("docker", DOCKER_29, "podman")), indirect=True)
def test_what_activation_scripts_set_is_there_in_exec(runner: Runner, server: Server) -> None:
    """Which knows neither entry points nor shells."""
    assert isinstance(runner, Docker | Podman)
    printed = runner.execute(_pull(runner, server, MAPS), "printenv", "GDAL_DATA", "PROJ_DATA")
    assert printed.split() == ["/opt/conda/share/gdal", "/opt/conda/share/proj"]


@pytest.mark.parametrize("runner", every(("docker", DOCKER_29, "podman")), indirect=True)
def test_image_sets_what_activation_exports(runner: Runner, server: Server) -> None:
    """There is no shell that would run ``activate.d``."""
    assert isinstance(runner, Docker | Podman)
    environment = runner.environment(_pull(runner, server, SPECIAL))
    assert environment["PATH"].split(":")[0] == "/opt/conda/bin"
    assert environment["CONDA_PREFIX"] == "/opt/conda"
    assert environment["ACTIVATEDEMO"] == "plain value"
    assert environment["ACTIVATEDEMO_DATA"] == "/opt/conda/data"
    assert environment["ENVVARSDEMO"] == "from json"
    assert environment["ENVVARSDEMO_PREFIX"] == "/opt/conda"


@pytest.mark.parametrize("runner", every(RUNNERS), indirect=True)
def test_prefix_is_replaced_in_scripts_settings_and_programs(
    runner: Runner, server: Server
) -> None:
    """A shebang line, a text file, and a string in a binary that holds the prefix twice."""
    reference = _pull(runner, server, SPECIAL)
    assert runner.run(reference, "shebangdemo").strip() == "/opt/conda"
    settings = runner.run(reference, "cat", "/opt/conda/etc/shebangdemo.conf")
    assert settings == "[a]\nprefix=/opt/conda\nlib=/opt/conda/lib:/opt/conda/lib64\n"
    code = (
        "import pathlib; data = pathlib.Path('/opt/conda/bin/bzip2').read_bytes();"
        " print(b'/opt/conda/lib:/opt/conda/lib64\\0' in data, b'placehold_' in data)"
    )
    assert runner.run(reference, "python", "-c", code).split() == ["True", "False"]
    assert "usage" in runner.run(reference, "sh", "-c", "bzip2 --help 2>&1")


@pytest.mark.parametrize("runner", every(RUNNERS), indirect=True)
def test_links_modes_and_odd_names_survive(runner: Runner, server: Server) -> None:
    """Hard links, symbolic links, an empty directory, long names, and no suid bit."""
    reference = _pull(runner, server, SPECIAL)
    code = """
import json, os
os.chdir("/opt/conda/share/symlinkdemo")
print(json.dumps({
    "links": {n: os.readlink(n) for n in sorted(os.listdir()) if os.path.islink(n)},
    "modes": {n: oct(os.stat(n).st_mode & 0o7777) for n in ("readonly", "setuid")},
    "names": ["h\u00e9llo w\u00f6rld.txt" in os.listdir(), "long" * 30 + ".txt" in os.listdir()],
    "empty": os.listdir("/opt/conda/share/emptydirdemo/emptydir"),
}))
"""
    assert json.loads(runner.run(reference, "python", "-X", "utf8", "-c", code)) == {
        "links": {"dangling": "nowhere", "dir": "../symlinkdemo-dir", "rel.txt": "real.txt"},
        "modes": {"readonly": "0o444", "setuid": "0o755"},
        "names": [True, True],
        "empty": [],
    }
    for command in ("hardlink-one", "hardlink-two", "hardlink-too"):
        assert runner.run(reference, command).strip() == "one"


@pytest.mark.parametrize("runner", every(RUNNERS), indirect=True)
def test_packages_with_the_same_path_are_united_the_same_way_everywhere(
    runner: Runner, server: Server
) -> None:
    """Of one file the later package's; a link to a directory and that directory become one."""
    reference = _pull(runner, server, SPECIAL)
    share = "/opt/conda/share"
    assert runner.run(reference, "cat", f"{share}/clobber.txt") == "b"
    assert runner.run(reference, "cat", f"{share}/linkdir/from-link.txt") == "link\n"
    assert runner.run(reference, "cat", f"{share}/linkdir/from-folder.txt") == "dir\n"


def _pull(runner: Runner, server: Server, name: str) -> str:
    reference = server.reference(name)
    result = runner.pull(reference)
    assert result.ok, result.output
    return reference
