"""Other tools read the lock in their own formats, and install from it."""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import rattler

from conformance.clients.engines.program import run
from conformance.forms.made import Made


def test_conda_lock_renders_the_lock(made: Made, tmp_path: Path) -> None:
    """The tool itself, which checks the file first; ours is the list that it makes."""
    argv: list[str | Path] = [
        Path(sys.executable).with_name("conda-lock"),
        "render",
        f"--filename-template={tmp_path}/{{platform}}.txt",
        "--platform=linux-64",
        made.files["lock"],
    ]
    outcome = run(argv)
    assert outcome.returncode == 0, outcome.output
    rendered = {line for line in (tmp_path / "linux-64.txt").read_text().splitlines() if line}
    ours = set(made.files["explicit"].read_text().splitlines())
    assert _addresses(rendered) == _addresses(ours)
    assert len(_addresses(ours)) == len(made.lock.platforms["linux-64"])


def test_rattler_installs_the_explicit_list(made: Made, tmp_path: Path) -> None:
    """Every archive is where the list says, and together they are an environment."""
    archives = []
    for address in sorted(_addresses(made.files["explicit"].read_text().splitlines())):
        url = address.partition("#")[0]
        archives.append(tmp_path / url.rpartition("/")[2])
        archives[-1].write_bytes(httpx.get(url, timeout=60).raise_for_status().content)

    async def install() -> None:
        records = [await rattler.RepoDataRecord.from_package_archive(path) for path in archives]
        await _install(records, tmp_path)

    asyncio.run(install())
    _assert_runs(tmp_path / "env")


def test_rattler_installs_the_pixi_lock(made: Made, tmp_path: Path) -> None:
    """From the addresses and hashes in it."""
    environment = rattler.LockFile.from_path(made.files["pixi.lock"]).default_environment()
    assert environment is not None
    (platform,) = environment.platforms()
    records = environment.conda_repodata_records_for_platform(platform)
    assert records is not None
    asyncio.run(_install(records, tmp_path))
    _assert_runs(tmp_path / "env")
    wheels = {wheel.name for wheel in environment.packages(platform) or ()} - {
        record.name.normalized for record in records
    }
    assert wheels == {wheel.name for wheel in made.lock.wheels["linux-64"]}


def _addresses(lines: "set[str] | list[str]") -> set[str]:
    return {line for line in lines if line.startswith("http")}


async def _install(records: list[rattler.RepoDataRecord], directory: Path) -> None:
    await rattler.install(
        records, directory / "env", cache_dir=directory / "cache", show_progress=False
    )
    # rattler's threads may still run when the loop ends, and then the process crashes.
    await asyncio.sleep(0.1)


def _assert_runs(prefix: Path) -> None:
    code = "import json, pandas; print(json.dumps([int(pandas.Series([1, 2]).sum())]))"
    outcome = run([prefix / "bin" / "python", "-c", code])
    assert outcome.returncode == 0, outcome.output
    assert json.loads(outcome.stdout) == [3]
