"""Programs that Debian does not have, or only in an old version, built from their Go modules."""

import fcntl
import json
import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from conformance.cache import cache_directory
from conformance.clients.engines.client import EngineMissing
from conformance.clients.engines.program import run

#: One build takes about two minutes on two cores when nothing is cached.
BUILD_TIMEOUT_SECONDS = 900

#: The oldest Go that builds all programs, and what is fetched where Go is older.
NEEDED_GO = (1, 26, 6)
TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.26.8.linux-"


@dataclass(frozen=True, slots=True)
class GoProgram:
    """Commands of one module in one version."""

    name: str
    module: str
    #: Exact, e.g. ``"v2.4.2"``; the module's checksum is in Go's public log.
    version: str
    #: Directories of the module, each a command.
    commands: tuple[str, ...]
    tags: tuple[str, ...] = ()
    #: Variables to set when linking, e.g. ``("main.version=1.0",)``.
    variables: tuple[str, ...] = ()

    def directory(self) -> Path:
        """Return the directory with the commands, building them when it is not there yet.

        Raises:
            EngineMissing: There is no Go, or the build failed.
        """
        cache = cache_directory("go")
        target = cache / f"{self.name}-{self.version}"
        with (cache / f"{self.name}-{self.version}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                self._build(cache, target)
        return target

    def _build(self, cache: Path, target: Path) -> None:
        go = find_go()
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            binaries = Path(scratch) / "bin"
            packages = [f"{self.module}/{command}@{self.version}" for command in self.commands]
            # Without cgo no C headers are needed, and the programs run on any Linux.
            env = {"GOBIN": str(binaries), "CGO_ENABLED": "0", "GOFLAGS": ""}
            options = [
                "-trimpath",
                f"-tags={','.join(self.tags)}",
                f"-ldflags={' '.join(f'-X {variable}' for variable in self.variables)}",
            ]
            argv = [str(go), "install", *options, *packages]
            outcome = run(argv, env=env, timeout_seconds=BUILD_TIMEOUT_SECONDS)
            if outcome.returncode:
                raise EngineMissing(f"{self.name} {self.version} was not built: {outcome.output}")
            binaries.rename(target)


def find_go() -> Path:
    """Return a ``go`` that is new enough.

    Debian's is not, but it can fetch a newer one: since 1.21 Go's own releases are modules too,
    and an old Go checks their checksums as it does for any module.

    Raises:
        EngineMissing: There is no Go at all, or no newer one can be fetched.
    """
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise EngineMissing("go is not installed, and current clients are built from source")
    numbers = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", run([found, "version"]).stdout)
    if numbers and tuple(int(n or 0) for n in numbers.groups()) >= NEEDED_GO:
        return Path(found)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    outcome = run([found, "mod", "download", "-json", TOOLCHAIN + machine], timeout_seconds=600)
    if outcome.returncode:
        raise EngineMissing(f"{found} is too old, and no newer one was found: {outcome.output}")
    root = Path(json.loads(outcome.stdout)["Dir"])
    # Modules have no executable files.
    for program in [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]:
        program.chmod(0o755)
    return root / "bin" / "go"
