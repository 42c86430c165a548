"""A lock with a bit of everything."""

import dataclasses
from typing import Any

from builder.lock import BaseReference, Lock
from builder.oci.digest import EMPTY
from builder.records import PackageRecord, WheelRecord
from builder.spec import Channel, VirtualPackage
from tests.builder.records_for_tests import record

KEPT = Channel("main", "http://channel.test/main")
DEBIAN = BaseReference("docker.io/library/debian", EMPTY)
PYTHON = dataclasses.replace(
    record("python", "zlib >=1.3", "__glibc >=2.17", version="3.11.7"), build="h1_cpython"
)
PANDAS = record("pandas", "python", "numpy>=1.20", noarch="python")
ZLIB = record("zlib", version="1.3")
SIX = WheelRecord(
    "six",
    "1.17.0",
    "https://files.pythonhosted.org/packages/ab/six-1.17.0-py2.py3-none-any.whl",
    "5" * 64,
    11_000,
)
DATEUTIL = WheelRecord(
    "python-dateutil",
    "2.9.0",
    "https://pypi.test/files/python_dateutil-2.9.0-py3-none-any.whl",
    "d" * 64,
    requires=("Pandas", "absent", "six>=1.5"),
)
LICENSES = {
    PYTHON.sha256: "Python-2.0",
    PANDAS.sha256: "bsd-3-clause and LicenseRef-Pandas",
    ZLIB.sha256: "see zlib's copyright file",
    SIX.sha256: "MIT",
}


def arm(of: PackageRecord) -> PackageRecord:
    """Return the same package for 64-bit ARM."""
    found = record(of.name, *of.depends, version=of.version, data=f"{of.name} arm".encode())
    url = found.url.replace("linux-64", "linux-aarch64")
    return dataclasses.replace(found, url=url, subdir="linux-aarch64", build=of.build)


def lock(**changes: Any) -> Lock:
    fields: dict[str, Any] = {
        "platforms": {
            "linux-64": (PYTHON, PANDAS, ZLIB),
            "linux-aarch64": (arm(PYTHON), PANDAS, arm(ZLIB)),
        },
        "channels": (KEPT,),
        "virtual_packages": (VirtualPackage("__glibc", "2.36"),),
        "base": DEBIAN,
        "bytecode": {"linux-64": "3.11.7", "linux-aarch64": "3.11.7"},
        "wheels": {"linux-64": (SIX, DATEUTIL)},
        "variables": {"MODE": "fast"},
    }
    return Lock(**(fields | changes))
