"""Jupyter on a machine, as it comes from PyPI: it lists kernels and works with them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Literal, Self

from conformance.channel.stored import default_cache
from conformance.channel.wheel_cache import fetch_wheels, wheel_path
from conformance.channel.wheel_lock import LOCK_FILE, Wheel
from conformance.prefixes.nobody import as_nobody

_WHEELS: Final = (
    "jupyter-client",
    "jupyter-core",
    "platformdirs",
    "python-dateutil",
    "pyzmq",
    "six",
    "tornado",
    "traitlets",
    "typing-extensions",
)
#: Works with one kernel as it is told, line by line of JSON: the code to run, or what else to do.
_SESSION: Final = """
import json, sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1])
print(json.dumps("started"), flush=True)
for line in sys.stdin:
    what, code = json.loads(line)
    said = []
    if what == "restart":
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
    else:
        def hook(message):
            said.append(message["content"].get("text") or message["content"].get("ename") or "")
            if what == "interrupt" and "busy" in said[-1]:
                manager.interrupt_kernel()
        client.execute_interactive(code, timeout=60, output_hook=hook)
    print(json.dumps("".join(said).strip()), flush=True)
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


class Jupyter:
    """A jupyter_client of its own; a user without rights works with it."""

    def __init__(self, home: Path, kernels: Path, release: Literal["newest", "oldest"]) -> None:
        """Install it.

        Args:
            home: A directory for it.
            kernels: Where kernels are.
            release: Of those that the channel has, too.
        """
        self._site = home / f"site-{release}"
        self._home = home / f"home-{release}"
        self._home.mkdir()
        self._home.chmod(0o777)
        wheels = _pinned(release)
        fetch_wheels(wheels, default_cache())
        files = [wheel_path(wheel, default_cache()) for wheel in wheels]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--target", self._site, *files], check=True)
        self.variables = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self._home),
            "PYTHONPATH": str(self._site),
            "JUPYTER_PATH": str(kernels.parent),
        }

    def kernels(self) -> dict[str, Any]:
        """Return what ``jupyter kernelspec list`` lists, by name."""
        program = "from jupyter_client.kernelspecapp import KernelSpecApp as app"
        argv = [sys.executable, "-c", f"{program}; app.launch_instance()", "list", "--json"]
        listed = subprocess.check_output(as_nobody(*argv), env=self.variables, text=True)
        found: dict[str, Any] = json.loads(listed)["kernelspecs"]
        return {name: one["spec"] for name, one in found.items() if name != "python3"}

    def session(self, name: str) -> "Session":
        """Start a kernel; a context manager."""
        return Session(name, self.variables)


class Session:
    """Somebody who works with a kernel."""

    def __init__(self, name: str, variables: dict[str, str]) -> None:
        """Say which."""
        self._argv = as_nobody(sys.executable, "-c", _SESSION, name)
        self._variables = variables
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            self._argv,
            env=self._variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        assert self._heard() == "started"
        return self

    def __exit__(self, *_: object) -> None:
        """Shut it down."""
        self._process.communicate(timeout=60)

    def run(self, code: str, *, interrupt: bool = False) -> str:
        """Return what a cell prints, and the name of what it raises.

        Args:
            code: Of the cell.
            interrupt: Interrupt it as soon as it prints "busy".
        """
        return self._ask("interrupt" if interrupt else "run", code)

    def restart(self) -> None:
        """Do what a user does to have the newest version."""
        self._ask("restart", "")

    def _ask(self, what: str, code: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([what, code]) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "it has ended"
        said: str = json.loads(line)
        return said


def _pinned(release: Literal["newest", "oldest"]) -> list[Wheel]:
    """Return the wheels of a Jupyter for this Python."""
    entries = json.loads(LOCK_FILE.read_text(encoding="utf-8"))
    wheels = [Wheel(**{**entry, "tiers": tuple(entry["tiers"])}) for entry in entries]
    found: list[Wheel] = []
    for name in _WHEELS:
        fit = [wheel for wheel in wheels if wheel.name == name and _is_for_this(wheel)]
        fit.sort(
            key=lambda wheel: [int(part) for part in wheel.version.split(".") if part.isdigit()]
        )
        if fit:
            found.append(fit[-1 if release == "newest" else 0])
    return found


def _is_for_this(wheel: Wheel) -> bool:
    """Whether CPython 3.11 or any Python on this machine can have it."""
    return wheel.filename.endswith(("-any.whl", "x86_64.whl")) and any(
        interpreter in {"py3", "cp311"} or (abi == "abi3" and int(interpreter[3:]) <= 11)
        for interpreter, abi, _ in wheel.tags
    )
