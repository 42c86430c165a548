"""Installs a lock as pixi and mamba do; read as text and run by the Python of a container.

    python install_in_container.py LOCK PREFIX

rattler installs, which is the fastest there is; then every module without bytecode is compiled, on
all processors, as mamba does after each installation.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import rattler


def main() -> None:
    """Install the packages of a conda-lock file for linux-64."""
    lock, prefix = Path(sys.argv[1]), Path(sys.argv[2])
    asyncio.run(_install(lock, prefix))
    site_packages = next(prefix.glob("lib/python3.*/site-packages"))
    python = prefix / "bin" / "python"
    # 1: some packages have templates, or modules for other Pythons, that do not compile.
    compiled = subprocess.run([python, "-m", "compileall", "-q", "-j0", site_packages], check=False)
    assert compiled.returncode in {0, 1}


async def _install(lock: Path, prefix: Path) -> None:
    environment = rattler.LockFile.from_path(lock).default_environment()
    assert environment is not None
    platform = next(p for p in environment.platforms() if str(p.name) == "linux-64")
    records = environment.conda_repodata_records_for_platform(platform)
    assert records
    await rattler.install(records, prefix, show_progress=False)
    # rattler's threads may still run when the loop ends, and then the process crashes.
    await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
