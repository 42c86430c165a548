"""A PyPI index of tiny wheels in a directory, for tests that need no real ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from conformance.pypi.index import write_index
from tests.tiny_wheels import TinyWheel, wheel_bytes

IN_2024, IN_2025 = "2024-01-01T12:00:00Z", "2025-01-01T12:00:00Z"


def write_wheel(
    directory: Path,
    name: str,
    version: str = "1.0",
    requires: Sequence[str] = (),
    *,
    tag: str = "py3-none-any",
    extras: Sequence[str] = (),
) -> Path:
    """Write a wheel of one module and return its file."""
    lines = [f"Requires-Dist: {requirement}\n" for requirement in requires]
    lines += [f"Provides-Extra: {extra}\n" for extra in extras]
    module = f"{name.replace('-', '_')}.py"
    wheel = TinyWheel(
        name,
        version,
        tag,
        files={module: f"VERSION = {version!r}\n".encode()},
        metadata="Requires-Python: >=3.8\n" + "".join(lines),
    )
    path = directory / wheel.file_name
    path.write_bytes(wheel_bytes(wheel))
    return path


def write_tiny_index(directory: Path) -> Path:
    """Make the index and return its folder.

    It has ``tool`` 1.0 of 2024 and 2.0 of 2025, which need ``library``; ``array-user``, which needs
    ``array``, which is nowhere; ``native`` for each platform and Python 3.11 and 3.12;
    ``source-only``; ``extra-user``, which needs ``tool[fast]``; and ``speedup``.
    """
    wheels, index = directory / "wheels", directory / "index"
    wheels.mkdir()
    index.mkdir()
    uploads = {
        write_wheel(wheels, "library", "1.0"): IN_2024,
        write_wheel(wheels, "library", "2.0"): IN_2025,
        write_wheel(wheels, "tool", "1.0", ["library<2"]): IN_2024,
        write_wheel(
            wheels,
            "tool",
            "2.0",
            ['library>=1; python_version < "4"', 'speedup>=1; extra == "fast"', 'x; os_name=="nt"'],
            extras=["fast"],
        ): IN_2025,
        write_wheel(wheels, "speedup"): IN_2024,
        write_wheel(wheels, "array-user", "1.0", ["array>=2", "library"]): IN_2024,
        write_wheel(wheels, "extra-user", "1.0", ["tool[fast]"]): IN_2024,
        write_wheel(wheels, "needs-source", "1.0", ["source-only"]): IN_2024,
    }
    for python in ("cp311", "cp312"):
        for machine in ("x86_64", "aarch64"):
            tag = f"{python}-{python}-manylinux_2_28_{machine}"
            uploads[write_wheel(wheels, "native", "1.0", tag=tag)] = IN_2024
    only_here = "cp311-cp311-manylinux_2_17_x86_64"
    uploads[write_wheel(wheels, "amd-only", "1.0", tag=only_here)] = IN_2024
    source = {
        "name": "source-only",
        "version": "1.0",
        "filename": "source_only-1.0.tar.gz",
        "sha256": hashlib.sha256(b"source").hexdigest(),
        "uploaded": IN_2024,
    }
    write_index(index, uploads, [source])
    return index
