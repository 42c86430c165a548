"""Records made up for tests: only what the test says differs."""

import hashlib

from builder.records import NoarchKind, PackageRecord, WheelRecord


def record(
    name: str,
    *depends: str,
    version: str = "1.0",
    size_bytes: int = 1000,
    noarch: NoarchKind | None = None,
    channel: str = "http://channel.test/main",
    data: bytes | None = None,
) -> PackageRecord:
    """Return a record; with ``data`` its hashes and size are those of the data."""
    content = data if data is not None else f"{name}-{version}".encode()
    subdir = "noarch" if noarch else "linux-64"
    return PackageRecord(
        name=name,
        version=version,
        build="0",
        build_number=0,
        subdir=subdir,
        url=f"{channel}/{subdir}/{name}-{version}-0.conda",
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content).hexdigest(),
        size_bytes=len(content) if data is not None else size_bytes,
        depends=depends,
        noarch=noarch,
        timestamp_ms=1_700_000_000_000,
    )


def wheel(
    name: str,
    version: str = "1.0",
    tag: str = "py3-none-any",
    size_bytes: int = 1000,
    data: bytes | None = None,
) -> WheelRecord:
    """Return the record of a wheel; with ``data`` its hash and size are those of the data."""
    content = data if data is not None else f"{name}-{version}".encode()
    return WheelRecord(
        name=name,
        version=version,
        url=f"https://files.test/{name.replace('-', '_')}-{version}-{tag}.whl",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content) if data is not None else size_bytes,
    )
