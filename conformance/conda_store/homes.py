"""Virtual environments of conda-store's server and of its command, each by itself.

They lie in the user's cache, by the hash of what is in them. PyPI has no ``conda``, without which
the server does not start; only builds use it. A stand-in has every module and name that it imports.
"""

import hashlib
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from conformance.cache import cache_directory
from conformance.clients.engines.program import run

_REQUIREMENTS: Final = Path(__file__).parent
_STAND_IN: Final = """\
import importlib.abc, importlib.machinery, sys, types

class Conda(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "conda":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        def named(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return Something()
        module.__getattr__ = named

class Something:
    subdir = "linux-64"
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Something()
    def __call__(self, *given, **named):
        return Something()

sys.meta_path.append(Conda())
"""


def server_home() -> Path:
    """Return where ``conda-store-server`` 2025.2.2 is installed, after doing so if need be."""
    return _home("server", _STAND_IN)


def interface() -> Path:
    """Return the directory of conda-store-ui, as ``conda-store-server`` comes with it."""
    (found,) = server_home().glob("lib/python*/site-packages/**/static/conda-store-ui")
    return found


def client_home() -> Path:
    """Return where the command ``conda-store`` 2025.2.2 is installed, after doing so if need be."""
    return _home("client", "")


def _home(kind: str, stand_in: str) -> Path:
    requirements = _REQUIREMENTS / f"{kind}_requirements.txt"
    cache = cache_directory(f"conda-store-{kind}")
    made_of = (requirements.read_text(encoding="utf-8"), stand_in, sys.version, version("uv"))
    target = cache / hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    if not target.is_dir():
        part = Path(tempfile.mkdtemp(prefix="part-", dir=cache))
        # Its programs find their Python by themselves, also after it was renamed.
        _uv("venv", "--relocatable", "--allow-existing", f"--python={sys.executable}", part)
        python = part / "bin" / "python"
        _uv(
            *("pip", "install", "--require-hashes", "--compile-bytecode"),
            *(f"--python={python}", f"--requirements={requirements}"),
        )
        (packages,) = part.glob("lib/python*/site-packages")
        if stand_in:
            (packages / "conda_stand_in.py").write_text(stand_in, encoding="utf-8")
            (packages / "conda_stand_in.pth").write_text("import conda_stand_in\n", "utf-8")
        part.chmod(0o755)
        try:
            part.rename(target)
        except OSError:  # somebody else was faster
            shutil.rmtree(part)
    return target


def _uv(*arguments: str | Path) -> None:
    outcome = run([sys.executable, "-m", "uv", *arguments], timeout_seconds=900)
    assert outcome.returncode == 0, outcome.output
