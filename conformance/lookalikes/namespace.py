"""A network and a file system of its own for a process: names and certificates as it needs them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import trustme

from conformance.lookalikes.site import Placement

#: Set in the environment of what runs inside.
INSIDE = "CONFORMANCE_LOOKALIKES"
#: Where Debian keeps the authorities that the machine trusts, and what renews them.
_AUTHORITIES = Path("/etc/ssl/certs")
_RENEW_AUTHORITIES = Path("/usr/sbin/update-ca-certificates")
_SET_FLAGS, _UP = 0x8914, 0x1
_OWN_NAMESPACES = ("--net", "--mount")


def is_possible() -> str | None:
    """Return why there can be no namespace here, `None` where there can."""
    probe = subprocess.run(
        [*unshare(*_OWN_NAMESPACES), "true"], check=False, capture_output=True, text=True
    )
    if probe.returncode == 0 and _RENEW_AUTHORITIES.is_file():
        return None
    lack = probe.stderr.strip() or f"there is no {_RENEW_AUTHORITIES}"
    return f"names of real servers need root or user namespaces: {lack}"


def move_inside(command: Sequence[str]) -> NoReturn:
    """Become `command`, with a network and mounts that nobody else sees."""
    reason = is_possible()
    if reason is not None:
        sys.exit(reason)
    os.environ[INSIDE] = "1"
    argv = [*unshare(*_OWN_NAMESPACES), *command]
    os.execvp(argv[0], argv)


def entering(pid: int) -> list[str]:
    """Return what stands before a command that is to run where the process is."""
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={pid}", *user, *_OWN_NAMESPACES]


def name_hosts(hosts: Sequence[str], directory: Path) -> Placement:
    """Give each host an address of its own here, and all of them a certificate."""
    # A service manager stops a command with it; by default nothing would be cleaned up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with socket.socket() as any_socket:
        flags = struct.pack("16sh14x", b"lo", _UP)
        fcntl.ioctl(any_socket, _SET_FLAGS, flags)
    addresses = {host: f"127.0.1.{number}" for number, host in enumerate(hosts, 1)}
    lines = ["127.0.0.1 localhost", *(f"{ip} {host}" for host, ip in addresses.items())]
    (directory / "hosts").write_text("\n".join([*lines, ""]))
    subprocess.run(["mount", "--bind", directory / "hosts", "/etc/hosts"], check=True)
    authority = trustme.CA()
    certificate = authority.issue_cert(*hosts)
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    (directory / "authority.pem").write_bytes(authority.cert_pem.bytes())
    return Placement(addresses, directory / "server.pem")


def trust(directory: Path) -> dict[str, str]:
    """Have the machine trust the authority; return the environment of who trusts what it does."""
    local, made = directory / "local", directory / "authorities"
    local.mkdir()
    made.mkdir()
    (directory / "authority.pem").rename(local / "authority.crt")
    options: list[str | Path] = [
        "--localcertsdir",
        local,
        "--etccertsdir",
        made,
        "--hooksdir",
        directory / "none",
    ]
    subprocess.run([_RENEW_AUTHORITIES, *options], check=True, capture_output=True)
    subprocess.run(["mount", "--bind", made, _AUTHORITIES], check=True)
    return {name: text for name, text in os.environ.items() if not name.startswith("SSL_CERT_")}


def unshare(*namespaces: str) -> list[str]:
    """Return what stands before a command that is to have namespaces of its own."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, *namespaces]
