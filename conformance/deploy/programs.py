"""Programs that read deployments, built from Go source."""

import json
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from conformance.clients.engines.client import EngineMissing
from conformance.clients.engines.go_program import BUILD_TIMEOUT_SECONDS, GoProgram, find_go
from conformance.clients.engines.program import run

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class MainModuleProgram(GoProgram):
    """One command of a module that ``go install`` refuses: its go.mod excludes or replaces others.

    It is built inside of the module, where these lines hold.
    """

    #: What the command is called.
    command: str = ""

    def path(self) -> Path:
        """Return the command, building it when it is not there yet.

        Raises:
            EngineMissing: There is no Go, or the build failed.
        """
        return self.directory() / self.command

    def _build(self, cache: Path, target: Path) -> None:
        go = str(find_go())
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            binaries = Path(scratch) / "bin"
            binaries.mkdir()
            argv = [
                go,
                f"-C={self._source(go)}",
                "build",
                "-trimpath",
                "-mod=readonly",
                "-ldflags=-s -w",
            ]
            argv += [f"-o={binaries / self.command}", f"./{self.commands[0]}"]
            env = {"CGO_ENABLED": "0", "GOFLAGS": ""}
            outcome = run(argv, env=env, timeout_seconds=BUILD_TIMEOUT_SECONDS)
            if outcome.returncode:
                raise EngineMissing(f"{self.name} {self.version} was not built: {outcome.output}")
            binaries.rename(target)

    def _source(self, go: str) -> Path:
        return module_source(go, f"{self.module}@{self.version}")


@dataclass(frozen=True, slots=True)
class LocalProgram(MainModuleProgram):
    """A command whose source is in this repository."""

    def _source(self, go: str) -> Path:
        del go
        return Path(self.module)


def module_source(go: str, module: str) -> Path:
    """Return the directory with the source of a module, e.g. ``"example.com/name@v1.2.3"``.

    Raises:
        EngineMissing: It cannot be fetched.
    """
    outcome = run([go, "mod", "download", "-json", module], timeout_seconds=600)
    if outcome.returncode:
        raise EngineMissing(f"{module} was not found: {outcome.output}")
    return Path(json.loads(outcome.stdout)["Dir"])


def _version_of(source: Path) -> str:
    files = sorted(path for path in source.iterdir() if path.is_file())
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


#: ``docker compose`` as a program of its own. Its version 5 needs a newer Go than the engines.
COMPOSE: Final = MainModuleProgram(
    "compose", "github.com/docker/compose/v2", "v2.40.3", ("cmd",), command="docker-compose"
)

#: Checks Kubernetes manifests as the API server does; the first lines of its source say how.
MANIFESTS: Final = LocalProgram(
    "manifests",
    str(_HERE / "manifests"),
    _version_of(_HERE / "manifests"),
    (".",),
    command="manifests",
)

#: Kubernetes' node agent, which pulls the images of pods through containerd.
KUBELET: Final = LocalProgram(
    "kubelet", str(_HERE / "kubelet"), _version_of(_HERE / "kubelet"), (".",), command="kubelet"
)


def main() -> None:
    """Build what is not there yet and say where it is."""
    for program in (COMPOSE, MANIFESTS, KUBELET):
        print(program.path())


if __name__ == "__main__":
    main()
