"""The file system of a tiny image: a shell and a few programs of this machine."""

import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

from builder.oci.digest import digest_of
from builder.oci.layout import OciLayout
from builder.oci.models import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    PlatformModel,
    dump,
)

PROGRAMS: Final = (
    "sh",
    "cat",
    "chmod",
    "echo",
    "env",
    "head",
    "id",
    "ls",
    "mkdir",
    "rm",
    "sleep",
    "tail",
)
_LIBRARY: Final = re.compile(r"(?:=> )?(/\S+) \(0x")


def tar(members: dict[str, bytes | str | None], **fields: Any) -> bytes:
    """Return a tar: of files, of links (text), of directories (``None``)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as written:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.mode, member.mtime = 0o755, 1_700_000_000
            body = b""
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                body, member.size = content, len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            written.addfile(member, io.BytesIO(body))
    return data.getvalue()


def root_members() -> dict[str, bytes | str | None]:
    """Return the files of the image: programs, and the libraries that they need."""
    found: dict[str, bytes | str | None] = {
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
        "etc/shadow": b"root:of-the-image:::::::\n",
    }
    for name in PROGRAMS:
        program = Path(shutil.which(name) or "").resolve()
        found[f"bin/{name}"] = program.read_bytes()
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for library in _LIBRARY.findall(listed):
            found[library.lstrip("/")] = Path(library).read_bytes()
    return found


def write_tiny_base(directory: Path, members: dict[str, bytes | str | None]) -> Path:
    """Write a base image, as an OCI layout, with one layer."""
    layout = OciLayout.create(directory)
    layer = tar(members)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "FROM_BASE=a b"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    written = json.dumps(config).encode()
    manifest = dump(
        ImageManifest(
            config=Descriptor(media_type=OCI_CONFIG, digest=digest_of(written), size=len(written)),
            layers=[Descriptor(media_type=OCI_LAYER, digest=digest_of(layer), size=len(layer))],
        )
    )
    described = Descriptor(
        media_type=OCI_MANIFEST,
        digest=digest_of(manifest),
        size=len(manifest),
        platform=PlatformModel(architecture="amd64", os="linux"),
    )
    index = dump(ImageIndex(manifests=[described]))
    for data in (layer, written, manifest, index):
        layout.add(data)
    top = Descriptor(media_type=OCI_INDEX, digest=digest_of(index), size=len(index))
    layout.offer(top, "base")
    return directory
