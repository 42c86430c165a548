"""What conda installs, as uv must see it: fixed, and needing nothing.

Each distribution becomes a wheel without files, and a constraint with its address. uv then takes
that version wherever the project is asked for, checks that it is one that fits, and neither looks
for another nor asks the index. What the distribution itself needs is conda's business and left
out; what its extras need is not, for conda knows no extras.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

_WHEEL: Final = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EXTRA: Final = re.compile(r"""extra == "([^"]+)\"""")
#: The earliest that a zip archive can say.
_TIME: Final = (1980, 1, 1, 0, 0, 0)


def write_constraints(
    provided: Mapping[str, str], extras: Mapping[str, Sequence[str]], directory: Path
) -> str:
    """Write a stub for each of ``provided`` into ``directory`` and return the constraints for uv.

    A stub that is there already is kept as it is: uv knows it by its path and time.

    Args:
        provided: Versions by normalized name.
        extras: For those whose extras matter what they need, each with a marker.
        directory: Where stubs are kept.
    """
    lines = []
    for name, version in provided.items():
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        needs = extras.get(name, ())
        metadata += "".join(f"Provides-Extra: {extra}\n" for extra in _names(needs))
        metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
        folder = directory / sha256(metadata.encode()).hexdigest()[:16]
        stem = f"{name.replace('-', '_')}-{version}"
        path = folder / f"{stem}-py3-none-any.whl"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, stem, metadata)
        lines.append(f"{name} @ {path.absolute().as_uri()}\n")
    return "".join(lines)


def _names(needs: Sequence[str]) -> list[str]:
    """Return the names of the extras that the markers speak of, sorted."""
    return sorted({name for need in needs for name in _EXTRA.findall(need)})


def _write(path: Path, stem: str, metadata: str) -> None:
    part = path.with_suffix(f".{id(path)}.part")
    files = {"METADATA": metadata, "WHEEL": _WHEEL, "RECORD": ""}
    with zipfile.ZipFile(part, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{name}", _TIME), text)
    part.replace(path)
