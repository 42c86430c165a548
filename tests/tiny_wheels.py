"""Wheels that tests make: byte for byte the same every time, and as broken as a test wants."""

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.records import WheelRecord

#: 2020-01-01, which the writer gives to every member, in seconds since 1970.
WRITTEN = 1_577_836_800


@dataclass(frozen=True, slots=True)
class TinyWheel:
    """What one wheel says about itself and contains."""

    #: As the project writes it; escaped where a file name needs it.
    name: str
    version: str = "1.0"
    tag: str = "py3-none-any"
    #: Content by path; ``"{data}/"`` in front stands for the ``.data`` directory.
    files: Mapping[str, bytes] = field(default_factory=dict)
    #: Those of the files that are executable.
    executable: tuple[str, ...] = ()
    entry_points: str = ""
    #: Lines that METADATA has beside name and version.
    metadata: str = ""
    #: Members of ``.dist-info`` that replace or join the generated ones; ``None`` removes one.
    info: Mapping[str, bytes | None] = field(default_factory=dict)
    #: Symlinks: target by path.
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.stem}-{self.tag}.whl"


def wheel_bytes(wheel: TinyWheel) -> bytes:
    """Return the wheel; the same one gives the same bytes."""
    files = {
        path.replace("{data}", f"{wheel.stem}.data"): data for path, data in wheel.files.items()
    }
    executable = {path.replace("{data}", f"{wheel.stem}.data") for path in wheel.executable}
    info: dict[str, bytes | None] = {
        "METADATA": (
            f"Metadata-Version: 2.1\nName: {wheel.name}\nVersion: {wheel.version}\n{wheel.metadata}"
        ).encode(),
        "WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {wheel.tag}\n".encode(),
    }
    if wheel.entry_points:
        info["entry_points.txt"] = wheel.entry_points.encode()
    known = {
        f"{wheel.stem}.dist-info/{name}": data for name, data in (info | dict(wheel.info)).items()
    }
    files |= {path: data for path, data in known.items() if data is not None}
    record = f"{wheel.stem}.dist-info/RECORD"
    if record not in known:
        rows = [f"{path},{hash_of(data)},{len(data)}\n" for path, data in files.items()]
        files[record] = "".join([*rows, f"{record},,\n"]).encode()
    return zip_bytes(files, executable, wheel.links)


def zip_bytes(
    files: Mapping[str, bytes],
    executable: set[str] | frozenset[str] = frozenset(),
    links: Mapping[str, str] | None = None,
) -> bytes:
    """Return a zip of files and symlinks."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            member = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (0o100755 if path in executable else 0o100644) << 16
            archive.writestr(member, data)
        for path, target in (links or {}).items():
            member = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            member.external_attr = 0o120777 << 16
            archive.writestr(member, target)
    return out.getvalue()


def hash_of(data: bytes) -> str:
    """Return the hash of a file as RECORD has it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest}"


def wheel_record(wheel: TinyWheel, data: bytes | None = None) -> WheelRecord:
    """Return the record of a wheel, by default of what :func:`wheel_bytes` returns."""
    content = wheel_bytes(wheel) if data is None else data
    return WheelRecord(
        name=wheel.name.lower().replace("_", "-").replace(".", "-"),
        version=wheel.version,
        url=f"https://files.test/{wheel.file_name}",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


#: One of everything that wheels have.
EVERYTHING = TinyWheel(
    "Every-Thing",
    "1.2",
    "cp311-cp311-manylinux_2_17_x86_64",
    files={
        "every/__init__.py": b"",
        "every/cli.py": b"def main():\n    print('hello')\n",
        "every/fast.cpython-311-x86_64-linux-gnu.so": b"\x7fELF not really",
        "every/old.py": b"print 'Python 2'\n",
        "every/data.txt": b"words\n",
        "{data}/purelib/pure.py": b"x = 1\n",
        "{data}/platlib/plat.py": b"y = 2\n",
        "{data}/scripts/say": b"#!python\nprint('said')\n",
        "{data}/scripts/program": b"\x7fELF neither",
        "{data}/headers/every.h": b"#define EVERY\n",
        "{data}/data/share/every/page": b"page\n",
        "{data}/data/etc/every.py": b"x = 1\n",
    },
    executable=(
        "every/fast.cpython-311-x86_64-linux-gnu.so",
        "{data}/scripts/say",
        "{data}/scripts/program",
    ),
    entry_points="""
[console_scripts]
every = every.cli:main

[gui_scripts]
every-gui = every.cli:main [gui]

[other]
no = every:no
""",
    metadata="License-Expression: MIT\n",
)
