import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.oci.layout import OciLayout
from conformance.channel import ChannelPaths, ensure
from registry.settings import Settings
from registry.wiring.services import open_services
from tests.registry import pulling

NAME = "env/click.ruamel.yaml.python-dateutil:py3.11"


@dataclass(frozen=True)
class Machine:
    """What may differ between two servers."""

    workers: int
    umask: int
    variables: dict[str, str]


ONE = Machine(1, 0o022, {"TZ": "UTC", "LANG": "C", "PYTHONHASHSEED": "1"})
OTHER = Machine(
    3,
    0o077,
    {"TZ": "Asia/Tokyo", "LANG": "tr_TR.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "9"},
)


@pytest.fixture(scope="module")
def paths() -> ChannelPaths:
    return ensure("small")


def command(
    machine: Machine, directory: Path, paths: ChannelPaths, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command line on a machine with a home and a store of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "PULLFORGE_STORE": str(directory / "store"),
        "PULLFORGE_CHANNELS": f'{{"conda-forge": "file://{paths.channel}"}}',
        "PULLFORGE_BASE": f"oci:{paths.base}",
        "PULLFORGE_WORKERS": str(machine.workers),
        **machine.variables,
    }
    return subprocess.run(
        [sys.executable, "-m", "registry", *arguments],
        env=environment,
        cwd=directory,
        umask=machine.umask,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_two_machines_build_the_same_image_byte_for_byte(
    tmp_path: Path, paths: ChannelPaths
) -> None:
    results = [
        command(machine, tmp_path / name, paths, "build", NAME, "-o", "image")
        for name, machine in {"one": ONE, "another one": OTHER}.items()
    ]
    assert [result.returncode for result in results] == [0, 0], results[0].stderr
    assert results[0].stdout == results[1].stdout
    layouts = [tmp_path / name / "image" for name in ("one", "another one")]
    contents = [
        {
            str(path.relative_to(layout)): path.read_bytes()
            for path in layout.rglob("*")
            if path.is_file()
        }
        for layout in layouts
    ]
    assert contents[0] == contents[1]
    assert OciLayout(layouts[0]).images()[0].digest == results[0].stdout.strip()


def test_a_server_answers_the_image_that_the_command_line_builds(
    tmp_path: Path, paths: ChannelPaths
) -> None:
    async def pull() -> str:
        settings = Settings(
            store=str(tmp_path / "server"),
            channels={"conda-forge": f"file://{paths.channel}"},
            base=f"oci:{paths.base}",
            workers=2,
        )
        repository, _, tag = NAME.partition(":")
        async with open_services(settings) as services:
            manifest = await pulling.pull(services, repository, tag, wait=100)
        return manifest.digest

    built = command(ONE, tmp_path / "one", paths, "build", NAME, "-o", "image")
    assert asyncio.run(pull()) == built.stdout.strip()


def test_two_machines_write_the_same_lock(tmp_path: Path, paths: ChannelPaths) -> None:
    locks = [
        command(machine, tmp_path / name, paths, "lock", NAME).stdout
        for name, machine in {"one": ONE, "other": OTHER}.items()
    ]
    assert locks[0] == locks[1]
    assert "ruamel.yaml" in locks[0]


def test_a_name_that_cannot_be_solved_is_one_sentence_and_exit_code_1(
    tmp_path: Path, paths: ChannelPaths
) -> None:
    result = command(ONE, tmp_path / "one", paths, "lock", "env/nunpy")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.strip().splitlines()[-1] == (
        "pullforge: no package 'nunpy' in conda-forge for linux-64; did you mean 'numpy'?"
    )


def test_locking_leaves_no_blob_behind(tmp_path: Path, paths: ChannelPaths) -> None:
    command(ONE, tmp_path / "one", paths, "lock", NAME)
    assert not (tmp_path / "one" / "store" / "blobs").exists()
