import json
import os
from pathlib import Path
from typing import Any

import pytest

from registry.prefixes.kernels import KernelReport, sync_kernels
from registry.prefixes.status import Link

KEY = "0123456789abcdef" * 2
SPEC = {
    "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "metadata": {"debugger": True},
}


class Machine:
    """A root with environments, and a directory in which Jupyter looks for kernels."""

    def __init__(self, path: Path) -> None:
        self.root = path / "root"
        self.kernels = path / "jupyter" / "kernels"
        self.links: list[Link] = []

    def add(
        self,
        environment: str = "forecast",
        namespace: str = "analytics",
        number: int = 1,
        kernels: dict[str, Any] | None = None,
        *,
        is_active: bool = True,
    ) -> Path:
        """Have an environment, with its kernels; return its prefix."""
        path = self.root / namespace / "envs" / environment
        prefix = self.root / "builds" / f"{namespace}+{environment}+{number}"
        (prefix / "conda-meta").mkdir(parents=True)
        for name, spec in (kernels if kernels is not None else {"python3": SPEC}).items():
            directory = prefix / "share/jupyter/kernels" / name
            directory.mkdir(parents=True)
            text = spec if isinstance(spec, str) else json.dumps(spec)
            (directory / "kernel.json").write_text(text.replace("@prefix@", str(prefix)))
            (directory / "logo-64x64.png").write_bytes(b"png")
        self.links.append(Link(namespace, environment, number, KEY, path, prefix, is_active))
        return prefix

    def sync(self) -> KernelReport:
        return sync_kernels(self.kernels, self.root, self.links)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.kernels.iterdir())

    def spec(self, name: str = "analytics-forecast") -> Any:
        return json.loads((self.kernels / name / "kernel.json").read_text())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_kernel_appears_with_its_environment(machine: Machine) -> None:
    machine.add()
    assert machine.sync() == KernelReport(1, 0, ())
    spec = machine.spec()
    assert spec["display_name"] == "forecast (analytics)"
    assert spec["language"] == "python"
    assert spec["argv"][-7:] == [
        *("pullforge", f"{machine.root}/analytics/envs/forecast"),
        *SPEC["argv"],
    ]
    mark = spec["metadata"]["pullforge"]
    assert spec["metadata"]["debugger"] is True
    assert (mark["namespace"], mark["environment"], mark["version"]) == ("analytics", "forecast", 1)
    assert mark["key"] == KEY
    logo = machine.kernels / "analytics-forecast/logo-64x64.png"
    assert logo.read_bytes() == b"png"


def test_nothing_is_written_where_nothing_has_changed(machine: Machine) -> None:
    machine.add()
    machine.sync()
    before = (machine.kernels / "analytics-forecast/kernel.json").stat()
    assert machine.sync() == KernelReport(0, 0, ())
    assert (machine.kernels / "analytics-forecast/kernel.json").stat() == before


def test_a_kernel_changes_and_vanishes_with_its_environment(machine: Machine) -> None:
    machine.add()
    machine.sync()
    machine.links.clear()
    machine.add(number=2, kernels={"python3": {**SPEC, "language": "other"}})
    logo = machine.links[0].prefix / "share/jupyter/kernels/python3/logo-64x64.png"
    logo.rename(logo.with_name("logo-svg.svg"))
    assert machine.sync() == KernelReport(1, 0, ())
    assert machine.spec()["metadata"]["pullforge"]["version"] == 2
    assert machine.spec()["language"] == "other"
    found = sorted(path.name for path in (machine.kernels / "analytics-forecast").iterdir())
    assert found == ["kernel.json", "logo-svg.svg"]
    machine.links.clear()
    assert machine.sync() == KernelReport(0, 1, ())
    assert machine.names() == []


def test_an_environment_without_a_kernel_and_other_versions_have_none(machine: Machine) -> None:
    machine.add("plain", kernels={})
    machine.add("forecast@v3", is_active=False)
    machine.sync()
    assert machine.names() == []


def test_an_environment_that_loses_its_kernel_loses_it_here(machine: Machine) -> None:
    machine.add()
    machine.sync()
    machine.links.clear()
    machine.add(number=2, kernels={})
    assert machine.sync() == KernelReport(0, 1, ())


def test_a_program_of_the_prefix_is_found_in_the_version_that_is_activated(
    machine: Machine,
) -> None:
    argv = ["@prefix@/bin/python3.12", "-m", "x", "@prefix@/share/config", "{connection_file}"]
    spec = {**SPEC, "argv": argv, "env": {"HOME_OF_R": "@prefix@/lib/R"}}
    machine.add(kernels={"python3": spec})
    machine.sync()
    link = f"{machine.root}/analytics/envs/forecast"
    found = machine.spec()
    assert found["argv"][-5:] == [
        *("python3.12", "-m", "x", f"{link}/share/config", "{connection_file}")
    ]
    assert found["env"] == {"HOME_OF_R": f"{link}/lib/R"}


def test_several_kernels_of_an_environment_have_names_of_their_own(machine: Machine) -> None:
    other = {**SPEC, "display_name": "R"}
    machine.add(kernels={"ir": other, "python3": SPEC})
    machine.sync()
    assert machine.names() == ["analytics-forecast", "analytics-forecast-ir"]
    assert machine.spec("analytics-forecast-ir")["display_name"] == "forecast (analytics): R"
    assert machine.spec()["display_name"] == "forecast (analytics)"


def test_names_have_what_jupyter_takes_alone(machine: Machine) -> None:
    machine.add("Größe $1", "Ada@home")
    machine.add("x" * 250, "y")
    machine.sync()
    long, short = machine.names()[1], machine.names()[0]
    assert short == "ada-home-gr--e--1"
    assert long.startswith("y-xxx")
    assert len(long) < 255


def test_two_environments_never_have_one_name_and_a_name_is_kept(machine: Machine) -> None:
    machine.add("c", "a-b")
    machine.sync()
    assert machine.names() == ["a-b-c"]
    machine.add("b-c", "a")
    machine.sync()
    assert len(machine.names()) == 2
    assert machine.spec("a-b-c")["display_name"] == "c (a-b)", "notebooks know it by that name"
    (longer,) = set(machine.names()) - {"a-b-c"}
    del machine.links[0]
    machine.sync()
    assert machine.names() == [longer]


def test_a_kernel_that_others_have_made_is_told_and_stays(machine: Machine) -> None:
    mine = machine.kernels / "analytics-forecast"
    mine.mkdir(parents=True)
    (mine / "kernel.json").write_text(json.dumps(SPEC))
    machine.add()
    (problem,) = machine.sync().problems
    assert problem.about == "analytics/forecast"
    assert "was not made by this root" in problem.sentence
    machine.links.clear()
    machine.sync()
    assert json.loads((mine / "kernel.json").read_text()) == SPEC


@pytest.mark.parametrize("kind", ["mode", "owner"])
def test_a_kernel_that_others_can_change_leads_nowhere_else(
    machine: Machine, tmp_path: Path, kind: str
) -> None:
    if kind == "owner" and os.geteuid():
        pytest.skip("needs root: a directory of somebody else")
    machine.add()
    machine.sync()
    place = machine.kernels / "analytics-forecast"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    # As if a logo were left, and the last pass had been killed.
    (place / ".kernel.json.new").symlink_to(secret)
    (place / "logo-64x64.png").unlink()
    (place / "logo-64x64.png").symlink_to(secret)
    if kind == "mode":
        place.chmod(0o777)
    else:
        os.chown(place, 54321, 54321)
    (problem,) = machine.sync().problems
    assert problem.about == "analytics/forecast"
    assert "remove it" in problem.sentence
    machine.links.clear()
    machine.sync()
    assert secret.read_text() == "secret"
    assert (place / "kernel.json").exists()


def test_what_is_half_written_is_not_followed(machine: Machine, tmp_path: Path) -> None:
    machine.add()
    machine.sync()
    place = machine.kernels / "analytics-forecast"
    (tmp_path / "secret").write_text("secret")
    for name in (".kernel.json.new", "logo-64x64.png"):
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(tmp_path / "secret")
    assert machine.sync() == KernelReport(1, 0, ())
    assert (tmp_path / "secret").read_text() == "secret"
    assert (place / "logo-64x64.png").read_bytes() == b"png"


def test_kernels_of_another_root_stay(machine: Machine, tmp_path: Path) -> None:
    machine.add()
    machine.sync()
    sync_kernels(machine.kernels, tmp_path / "other", [])
    assert machine.names() == ["analytics-forecast"]


def test_files_that_somebody_has_put_beside_a_kernel_stay(machine: Machine) -> None:
    machine.add()
    machine.sync()
    note = machine.kernels / "analytics-forecast/note"
    note.write_text("mine")
    machine.links.clear()
    machine.sync()
    assert [path.name for path in note.parent.iterdir()] == ["note"]


@pytest.mark.parametrize("left", ["kernel.json", "logo-64x64.png"])
def test_what_was_half_made_is_made_whole(machine: Machine, left: str) -> None:
    machine.add()
    machine.sync()
    whole = machine.spec()
    directory = machine.kernels / "analytics-forecast"
    for path in directory.iterdir():
        if path.name != left:
            path.unlink()
    (directory / ".kernel.json.new").write_text("half")
    machine.sync()
    assert machine.spec() == whole
    assert (directory / "logo-64x64.png").exists()
    machine.links.clear()
    machine.sync()
    assert machine.names() == []


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "[]",
        '{"argv": []}',
        '{"argv": "x", "display_name": "x"}',
        "[" * 100_000,
        " " * 2_000_000,
    ],
    ids=len,
)
def test_a_kernel_that_makes_no_sense_is_told(machine: Machine, spec: str) -> None:
    machine.add(kernels={"python3": spec})
    machine.add("good")
    report = machine.sync()
    assert machine.names() == ["analytics-good"]
    (problem,) = report.problems
    assert "does not say how it is started" in problem.sentence


def test_nothing_outside_a_prefix_is_copied(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kernel.json").write_text(json.dumps(SPEC))
    (outside / "secret").write_text("secret")
    prefix = machine.add()
    kernels = prefix / "share/jupyter/kernels"
    (kernels / "python3/link").symlink_to(tmp_path / "secret")
    (kernels / "other").symlink_to(outside)
    machine.sync()
    assert machine.names() == ["analytics-forecast"]
    assert not (machine.kernels / "analytics-forecast/link").exists()


def test_a_prefix_that_is_not_mounted_now_keeps_its_kernel(machine: Machine) -> None:
    prefix = machine.add()
    machine.sync()
    prefix.rename(prefix.with_name("elsewhere"))
    assert machine.sync() == KernelReport(0, 0, ())
    assert machine.names() == ["analytics-forecast"]


def test_a_directory_that_cannot_be_is_one_problem(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "jupyter").write_text("a file")
    machine.add()
    (problem,) = machine.sync().problems
    assert problem.about == ""
    assert problem.sentence.startswith(f"kernels cannot be written to {machine.kernels}: ")
