"""A base image of Debian packages, as an OCI image layout for linux/amd64 and linux/arm64.

It has what conda packages expect to find outside of their prefix: glibc, a shell, coreutils, CA
certificates, users, `/tmp` and the C.UTF-8 locale. `/bin`, `/lib` and so on are links into `/usr`,
as on every Debian since 12; no path is there twice.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from conformance.channel.debs import ARCHITECTURES, Debs
from conformance.channel.writer import Member, file_member, tar_bytes

#: Suites differ in some names; the names that a suite does not have are left out.
BASE_DEBS = (
    "base-files", "base-passwd", "ca-certificates", "coreutils", "dash", "findutils", "gcc-12-base",
    "gcc-14-base", "grep", "libacl1", "libattr1", "libc-bin", "libc6", "libcrypt1", "libgcc-s1",
    "libgmp10", "libpcre2-8-0", "libselinux1", "libssl3t64", "libzstd1", "sed", "zlib1g",
)  # fmt: skip
_MERGED = ("bin", "lib", "lib64", "sbin")
_LEFT_OUT = (
    "usr/share/bash-completion/", "usr/share/bug/", "usr/share/i18n/", "usr/share/info/",
    "usr/share/lintian/", "usr/share/locale/", "usr/share/man/", "usr/share/menu/",
    "usr/share/gdb/", "usr/sbin/update-ca-certificates",
)  # fmt: skip
_FOLDERS = {
    "dev": 0o755, "etc": 0o755, "home": 0o755, "opt": 0o755, "proc": 0o555, "root": 0o700,
    "run": 0o755, "sys": 0o555, "tmp": 0o1777, "usr/bin": 0o755, "usr/lib": 0o755,
    "usr/lib64": 0o755, "usr/sbin": 0o755, "var/tmp": 0o1777, "var/lib/dpkg": 0o755,
}  # fmt: skip
_NSSWITCH = b"passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OCI = "application/vnd.oci.image"


def write_base_image(debs: dict[str, Debs], layout: Path) -> None:
    """Write the layout: `index.json` names one index, which names an image per platform.

    Args:
        debs: Conda subdir → fetched `BASE_DEBS` of its architecture.
        layout: Folder to make.
    """
    (layout / "blobs/sha256").mkdir(parents=True)
    manifests = []
    for subdir, packages in sorted(debs.items()):
        architecture = ARCHITECTURES[subdir]
        descriptor = _write_image(layout, architecture, layer_tar(packages))
        manifests.append(descriptor | {"platform": {"architecture": architecture, "os": "linux"}})
    index = _write_json(layout, "index.v1+json", {"manifests": manifests})
    index["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    top = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [index]}
    (layout / "index.json").write_text(json.dumps(top, sort_keys=True))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def layer_tar(debs: Debs) -> bytes:
    """The uncompressed layer: files of the packages, and what their scripts would have made."""
    members: dict[str, Member] = {}
    status = []
    for filename in sorted(debs.files):
        members |= _deb_members(debs.folder / filename)
        status.append(_status(debs.folder / filename))
    _add_configuration(members, "\n".join(status).encode())
    for name in _MERGED:
        members[name] = _link(name, f"usr/{name}")
    for name, mode in _FOLDERS.items():
        members[name] = _folder(name, mode)
    for name in list(members):
        while name := posixpath.dirname(name):
            members.setdefault(name, _folder(name, 0o755))
    return tar_bytes(members[name] for name in sorted(members))


def _deb_members(deb: Path) -> dict[str, Member]:
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    members: dict[str, Member] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            name = _merged(info.name)
            if info.isdir() or not name or _is_left_out(name):
                continue
            file = archive.extractfile(info) if info.isreg() else None
            if info.islnk():
                info.linkname = _merged(info.linkname)
            info.name, info.pax_headers = name, {}
            info.uname = info.gname = ""
            # Whole seconds: the PAX header of a fraction is a block of its own for each file.
            info.mtime = int(info.mtime)
            members[name] = (info, file.read() if file else b"")
    return members


def _merged(name: str) -> str:
    """The path of a package's file where `/bin` and its like are links into `/usr`."""
    name = posixpath.normpath(f"/{name}").strip("/")
    return f"usr/{name}" if name.partition("/")[0] in _MERGED and "/" in name else name


def _is_left_out(name: str) -> bool:
    documentation = name.startswith("usr/share/doc/") and not name.endswith("/copyright")
    # Converters between character sets: 8 MB that Python, which has its own, never loads.
    return documentation or name.startswith(_LEFT_OUT) or "/gconv/" in name


def _add_configuration(members: dict[str, Member], status: bytes) -> None:
    """What the packages' scripts write when they are installed."""
    certificates = [
        members[name][1]
        for name in sorted(members)
        if name.startswith("usr/share/ca-certificates/") and name.endswith(".crt")
    ]
    files = {
        # There is no bash.
        "etc/passwd": members["usr/share/base-passwd/passwd.master"][1].replace(
            b"/bin/bash", b"/bin/sh"
        ),
        "etc/group": members["usr/share/base-passwd/group.master"][1],
        "etc/nsswitch.conf": _NSSWITCH,
        "etc/ssl/certs/ca-certificates.crt": b"".join(certificates),
        "var/lib/dpkg/status": status,
    }
    for name, data in files.items():
        members[name] = file_member(name, data)
    members["usr/bin/sh"] = _link("usr/bin/sh", "dash")


def _status(deb: Path) -> str:
    """Its paragraph of dpkg's database, which scanners of images read."""
    command = ["dpkg-deb", "-f", str(deb)]
    control = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return control.rstrip("\n") + "\nStatus: install ok installed\n"


def _link(name: str, target: str) -> Member:
    info, data = file_member(name, b"", mode=0o777)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, data


def _folder(name: str, mode: int) -> Member:
    info, data = file_member(name, b"", mode=mode)
    info.type = tarfile.DIRTYPE
    return info, data


def _write_image(layout: Path, architecture: str, layer: bytes) -> dict[str, Any]:
    config = {
        "architecture": architecture,
        "config": {"Cmd": ["sh"], "Env": [f"PATH={_PATH}"]},
        "created": "2020-01-01T00:00:00Z",
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "Debian packages"}],
        "os": "linux",
        "rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"], "type": "layers"},
    }
    if architecture == "arm64":
        config["variant"] = "v8"
    compressed = gzip.compress(layer, 9, mtime=0)
    return _write_json(
        layout,
        "manifest.v1+json",
        {
            "config": _write_blob(
                layout, "config.v1+json", json.dumps(config, sort_keys=True).encode()
            ),
            "layers": [_write_blob(layout, "layer.v1.tar+gzip", compressed)],
        },
    )


def _write_json(layout: Path, media_type: str, value: dict[str, Any]) -> dict[str, Any]:
    document = {"schemaVersion": 2, "mediaType": f"{_OCI}.{media_type}", **value}
    return _write_blob(layout, media_type, json.dumps(document, sort_keys=True).encode())


def _write_blob(layout: Path, media_type: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {
        "mediaType": f"{_OCI}.{media_type}",
        "digest": f"sha256:{digest}",
        "size": len(data),
    }
