"""``layers``: docker pulls our image, and the same files in one layer above the same base.

Both come from docker-registry, so that nothing differs but the layers.
"""

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from isal import igzip

from benchmarks.bench import Bench
from benchmarks.figure import Figure, interleaved, medians
from benchmarks.images import copy_image, environment_of, get_manifest
from builder.keys import blob_key
from builder.oci.digest import Digest
from builder.oci.layout import OciLayout
from builder.oci.models import Descriptor

_CHUNK: Final = 1024 * 1024


def measure(bench: Bench) -> Figure:
    """Return how many times as long docker takes to pull the image of several layers."""
    name = environment_of(bench.short)
    with bench.server() as server:
        several = copy_image(server, name, bench.registry)
        manifest = get_manifest(server, name).content
        layout = bench.directory("squashed")
        _squash(manifest, server.store, OciLayout.create(layout))
        count = len(manifest["layers"])
    one = bench.registry.copy(f"oci:{layout}", "squashed:latest")
    sides = {
        "several": lambda: bench.pull_seconds(several),
        "one": lambda: bench.pull_seconds(one),
    }
    runs = bench.runs(5)
    found = medians(interleaved(runs, sides))
    note = f"{found['several']:.2f} s in {count} layers, {found['one']:.2f} s in 2"
    return Figure(found["several"] / found["one"], runs, note)


def _squash(manifest: dict[str, Any], store: Path, layout: OciLayout) -> None:
    """Write the image into ``layout`` with its layers, save the base's, in one."""
    # The base of the tests has one layer.
    base, *layers = manifest["layers"]
    shutil.copy(store / blob_key(base["digest"]), layout.blob(base["digest"]))
    tar = layout.directory / "layer.tar"
    _join([store / blob_key(layer["digest"]) for layer in layers], tar)
    packed = layout.directory / "layer.tar.gz"
    with tar.open("rb") as source, _gzip(packed, "wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
    digest, size = _digest(packed), packed.stat().st_size
    packed.rename(layout.blob(digest))
    config = json.loads((store / blob_key(manifest["config"]["digest"])).read_bytes())
    config["rootfs"]["diff_ids"] = [config["rootfs"]["diff_ids"][0], _digest(tar)]
    tar.unlink()
    config.pop("history", None)
    data = json.dumps(config).encode()
    squashed = manifest | {
        "config": manifest["config"] | {"digest": layout.add(data), "size": len(data)},
        "layers": [base, {"mediaType": base["mediaType"], "digest": digest, "size": size}],
    }
    data = json.dumps(squashed).encode()
    descriptor = Descriptor(
        media_type=manifest["mediaType"], digest=layout.add(data), size=len(data)
    )
    layout.offer(descriptor, "latest")


def _join(layers: Sequence[Path], out: Path) -> None:
    """Write one tar of what is in several; directories, which all of them have, once."""
    seen: set[str] = set()
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as joined:
        for layer in layers:
            # tarfile alone would read the first gzip member of several.
            with _gzip(layer, "rb") as data, tarfile.open(fileobj=data, mode="r|") as tar:
                for member in tar:
                    if member.name not in seen:
                        seen.add(member.name)
                        joined.addfile(member, tar.extractfile(member) if member.isreg() else None)


def _gzip(path: Path, mode: str) -> gzip.GzipFile:
    """Open a file that is compressed as our layers are; the level matters to writers only."""
    return igzip.IGzipFile(path, mode, compresslevel=1)  # type: ignore[no-untyped-call] # isal's


def _digest(path: Path) -> Digest:
    with path.open("rb") as file:
        return Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
