"""A Debian 12 to build images on, made from Debian's packages where no registry can be asked."""

import fcntl
import os
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Final

from conformance.cache import cache_directory
from conformance.clients.engines.client import EngineMissing
from conformance.clients.engines.home import require
from conformance.clients.engines.program import run

SUITE: Final = "bookworm"

#: What the image on Docker's hub leaves out too.
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")

_OPTIONS: Final = (
    "--quiet",
    "--variant=minbase",
    "--format=tar",
    *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
)

#: Where the certificates that this machine trusts are in the image.
_CERTIFICATES: Final = "/etc/local/certificates.crt"

#: What else says how packages are reached from this machine.
_PASSED_ON: Final = ("PIP_INDEX_URL", "http_proxy", "https_proxy", "no_proxy")


def debian_tar() -> Path:
    """Return a tar of the root file system, made once: it takes a minute.

    Raises:
        EngineMissing: ``mmdebstrap`` is not installed, or Debian cannot be reached.
    """
    version = sha256("\n".join(_OPTIONS).encode()).hexdigest()[:12]
    tar = cache_directory("debian") / f"{SUITE}-{version}.tar"
    with tar.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tar.exists():
            _make(tar)
    return tar


def _make(tar: Path) -> None:
    require(["mmdebstrap"])
    part = tar.with_suffix(".part")
    outcome = run(["mmdebstrap", *_OPTIONS, SUITE, part], timeout_seconds=600)
    if outcome.returncode:
        raise EngineMissing(f"no Debian was made: {outcome.output}")
    part.rename(tar)


def write_context(directory: Path, imported: str) -> None:
    """Write a build context that makes ``imported`` reach packages as this machine does.

    Debian's certificates alone are not enough behind a proxy that has a CA of its own.
    """
    found = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    assert found, "this machine trusts nobody"
    (directory / "certificates.crt").write_bytes(Path(found).read_bytes())
    environment = {
        "PIP_CERT": _CERTIFICATES,
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    }
    lines = [f"FROM {imported}", f"COPY certificates.crt {_CERTIFICATES}"]
    lines += [f'ENV {name}="{value}"' for name, value in environment.items()]
    (directory / "Dockerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
