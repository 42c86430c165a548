import sys
from pathlib import Path

import pytest

from builder.layer import PythonTarget


@pytest.fixture(scope="session")
def host_python() -> PythonTarget:
    """The Python that runs the tests, as a target."""
    major, minor, micro = sys.version_info[:3]
    return PythonTarget(f"{major}.{minor}.{micro}", f"lib/python{major}.{minor}/site-packages")


@pytest.fixture(scope="session")
def python_prefix(host_python: PythonTarget, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix whose Python is the one that runs the tests; not for the sandbox."""
    prefix = tmp_path_factory.mktemp("python")
    (prefix / "bin").mkdir()
    base = Path(sys.base_prefix) / "bin" / f"python{host_python.short}"
    (prefix / "bin" / base.name).symlink_to(base)
    return prefix
