"""A simple index as files: pages in JSON, wheels, and the metadata of each beside it.

simple/<name>/index.json                   PEP 691, with sizes and upload times (PEP 700)
files/<sha256>/<file name>                 the wheel, a hard link
files/<sha256>/<file name>.metadata        its METADATA (PEP 658)
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name


def write_index(
    directory: Path, wheels: Mapping[Path, str], sources: Iterable[Mapping[str, str]] = ()
) -> None:
    """Make the index below `directory`, which is empty.

    Args:
        directory: On the file system of the wheels.
        wheels: Each with the time of its upload, `2026-11-01T00:00:00Z`.
        sources: What exists as source only: name, version, filename, sha256, uploaded.
    """
    pages: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(wheels):
        name, file = _wheel_file(directory, path, wheels[path])
        pages[name].append(file)
    for source in sources:
        pages[source["name"]].append(
            _file(source["filename"], source["sha256"], source["uploaded"])
        )
    for name, files in sorted(pages.items()):
        page = directory / "simple" / name / "index.json"
        page.parent.mkdir(parents=True)
        content = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
        page.write_text(json.dumps(content, indent=1))


def _wheel_file(directory: Path, path: Path, uploaded: str) -> tuple[str, dict[str, Any]]:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    place = directory / "files" / sha256 / path.name
    place.parent.mkdir(parents=True)
    place.hardlink_to(path)
    with zipfile.ZipFile(path) as archive:
        inside = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(inside)
    place.with_name(f"{path.name}.metadata").write_bytes(metadata)
    headers = HeaderParser().parsestr(metadata.decode())
    file = _file(path.name, sha256, uploaded) | {
        "size": len(data),
        "core-metadata": {"sha256": hashlib.sha256(metadata).hexdigest()},
    }
    if headers["Requires-Python"]:
        file["requires-python"] = headers["Requires-Python"]
    return canonicalize_name(headers["Name"]), file


def _file(filename: str, sha256: str, uploaded: str) -> dict[str, Any]:
    return {
        "filename": filename,
        "url": f"../../files/{sha256}/{filename}",
        "hashes": {"sha256": sha256},
        "upload-time": uploaded,
    }
