"""Images of conda packages and real wheels: built, unpacked, run."""

import asyncio
import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from builder.build.pipeline import BuiltImage
from builder.errors import UnsupportedPackage
from builder.keys import blob_key, package_key
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.oci.models import ImageManifest, parse
from builder.ports import Progress
from builder.records import WheelRecord
from conformance.channel import ChannelPaths, ensure
from conformance.channel.stored import default_cache
from conformance.channel.wheel_cache import wheel_path
from conformance.channel.wheel_lock import read_lock
from conformance.oci_client import PulledImage, run_in, unpack
from registry.cli.session import NullMetrics, today
from registry.settings import Settings
from registry.wiring.building import Builder, open_builder

#: Wheels for manylinux expect a C++ library from the system, which the base has not.
NAME = "env/python.3.11.libstdcxx"
NAMES = ("certifi", "charset-normalizer", "idna", "numpy", "requests", "six", "urllib3")
#: Every file that a distribution's RECORD lists is there, with the hash it lists.
CHECK = """
import base64, hashlib, importlib.metadata, json, os
import numpy, requests, six
found = {}
for distribution in importlib.metadata.distributions():
    if distribution.read_text("INSTALLER") != "pullforge\\n":
        continue
    for file in distribution.files:
        data = file.locate().read_bytes()
        if file.hash:
            digest = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, data).digest())
            assert digest.decode().rstrip("=") == file.hash.value, file
            assert file.size == len(data), file
    found[distribution.metadata["Name"].lower()] = distribution.version
print(json.dumps({
    "found": found,
    "cached": [os.path.exists(module.__cached__) for module in (numpy, requests, six)],
    "sum": int(numpy.arange(5).sum()),
    "greeting": os.environ["GREETING"],
}))
"""


@pytest.fixture(scope="module")
def paths() -> ChannelPaths:
    return ensure("small")


@pytest.fixture(scope="module")
def wheels(paths: ChannelPaths) -> dict[WheelRecord, Path]:
    """The first version of some wheels that the channel is made of, with their files."""
    found: dict[str, tuple[WheelRecord, Path]] = {}
    for wheel in read_lock("small"):
        path = wheel_path(wheel, default_cache())
        if wheel.name in NAMES and wheel.name not in found and path.exists():
            url = f"https://files.pythonhosted.org/packages/{wheel.filename}"
            record = WheelRecord(wheel.name, wheel.version, url, wheel.sha256, path.stat().st_size)
            found[wheel.name] = record, path
    assert sorted(found) == sorted(NAMES)
    return dict(found.values())


def quiet(_progress: Progress) -> None:
    pass


async def lock_with_wheels(builder: Builder, name: str, wheels: dict[WheelRecord, Path]) -> Lock:
    """Return the lock of a name, with wheels and a variable added; the wheels are in the store."""
    spec = await builder.resolver.spec(name, "latest", builder.policy, today())
    lock = await builder.resolver.lock(spec, quiet)
    for record, path in wheels.items():
        copy = path.with_name(f"{path.name}.{id(builder)}")
        shutil.copyfile(path, copy)
        await builder.store.adopt(package_key(record.sha256), copy)
    lock = dataclasses.replace(
        lock, wheels={"linux-64": tuple(wheels)}, variables={"GREETING": "hello, world"}
    )
    return await builder.resolver._compilers.choose(lock)


def build(
    root: Path, paths: ChannelPaths, name: str, wheels: dict[WheelRecord, Path], workers: int = 2
) -> tuple[Lock, BuiltImage]:
    async def scenario() -> tuple[Lock, BuiltImage]:
        settings = Settings(
            store=str(root),
            channels={"conda-forge": f"file://{paths.channel}"},
            base=f"oci:{paths.base}",
            workers=workers,
        )
        async with open_builder(settings, NullMetrics()) as builder:
            lock = await lock_with_wheels(builder, name, wheels)
            return lock, await builder.pipeline.build(lock, "oci-zstd", quiet)

    return asyncio.run(scenario())


def pulled(root: Path, image: BuiltImage) -> PulledImage:
    """Return the image as a client that pulled it would have it."""
    manifest = parse(ImageManifest, image.top.data)
    config = json.loads((root / blob_key(manifest.config.digest)).read_bytes())
    layers = tuple(root / blob_key(Digest(layer.digest)) for layer in manifest.layers)
    return PulledImage(image.top.digest, config, layers)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def built(
    store: Path, paths: ChannelPaths, wheels: dict[WheelRecord, Path]
) -> tuple[Lock, BuiltImage]:
    return build(store, paths, NAME, wheels)


def test_an_image_with_wheels_runs_and_every_file_is_as_recorded(
    tmp_path: Path,
    store: Path,
    built: tuple[Lock, BuiltImage],
    wheels: dict[WheelRecord, Path],
) -> None:
    lock, image = built
    python = next(known for known in lock.platforms["linux-64"] if known.name == "python")
    assert lock.bytecode == {"linux-64": python.version}
    client = pulled(store, image)
    unpack(client, tmp_path / "root")
    answer = json.loads(run_in(tmp_path / "root", client, ["/opt/conda/bin/python", "-c", CHECK]))
    assert answer == {
        "found": {record.name: record.version for record in wheels},
        "cached": [True, True, True],
        "sum": 10,
        "greeting": "hello, world",
    }
    said = run_in(tmp_path / "root", client, ["normalizer", "--version"])
    assert "Charset-Normalizer" in said
    comments = " ".join(entry.get("comment", "") for entry in client.config["history"])
    assert all(f"{record.name} {record.version}" in comments for record in wheels)


def test_another_store_gets_the_same_image(
    tmp_path: Path,
    paths: ChannelPaths,
    built: tuple[Lock, BuiltImage],
    wheels: dict[WheelRecord, Path],
) -> None:
    assert build(tmp_path, paths, NAME, wheels, workers=1)[1].top == built[1].top


def test_conda_layers_are_those_of_the_environment_without_wheels(
    store: Path, paths: ChannelPaths, built: tuple[Lock, BuiltImage]
) -> None:
    _, alone = build(store, paths, NAME, {})
    layers = [layer.digest for layer in parse(ImageManifest, built[1].top.data).layers]
    below = [layer.digest for layer in parse(ImageManifest, alone.top.data).layers]
    assert layers[: len(below)] == below
    assert len(layers) > len(below)


def test_a_project_that_conda_brings_too_is_refused(
    tmp_path: Path, paths: ChannelPaths, wheels: dict[WheelRecord, Path]
) -> None:
    some = {record: path for record, path in wheels.items() if record.name == "requests"}
    with pytest.raises(UnsupportedPackage, match="'requests' is wanted twice"):
        build(tmp_path, paths, "env/requests", some)
