"""What conda installs, as uv must see it: fixed, and needing nothing.

Each distribution becomes a wheel without files, and a constraint with its address. uv then takes that
version wherever the project is asked for, checks that it is one that fits, and neither looks for
another nor asks the index. What the distribution itself needs is conda's business and left out, but
not what its extras need: conda knows no extras.
"""

import zipfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_WHEEL: Final = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
#: The earliest that a zip archive can say.
_TIME: Final = (1980, 1, 1, 0, 0, 0)


def provided_versions(distributions: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the version of each distribution by its normalized name, sorted by name.

    One whose version PyPI could not have is left out: no requirement can be compared with it.
    """
    versions: dict[str, str] = {}
    for name, version in sorted(distributions):
        try:
            versions[canonicalize_name(name)] = str(Version(version))
        except InvalidVersion:
            continue
    return dict(sorted(versions.items()))


def write_constraints(provided: Mapping[str, str], directory: Path) -> str:
    """Write a stub for each of ``provided`` into ``directory`` and return the constraints for uv.

    A stub that is there already is kept as it is: uv knows it by its path and time.
    """
    lines = []
    for name, version in provided.items():
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        folder = directory / sha256(metadata.encode()).hexdigest()[:16]
        stem = f"{name.replace('-', '_')}-{version}"
        path = folder / f"{stem}-py3-none-any.whl"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, stem, metadata)
        lines.append(f"{name} @ {path.absolute().as_uri()}\n")
    return "".join(lines)


def _write(path: Path, stem: str, metadata: str) -> None:
    part = path.with_suffix(f".{id(path)}.part")
    files = {"METADATA": metadata, "WHEEL": _WHEEL, "RECORD": ""}
    with zipfile.ZipFile(part, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{name}", _TIME), text)
    part.replace(path)
