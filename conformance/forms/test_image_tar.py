"""``image.tar`` is loaded by engines, and is the image that they would pull."""

import json
from pathlib import Path

import pytest

from conformance.clients.engines import Docker, Podman
from conformance.clients.engines.program import run
from conformance.clients.matrix import DOCKER_29, Engines, every
from conformance.clients.server import Server
from conformance.forms.made import NAME, TAG, Made

CODE = "import flask, numpy; print(int(numpy.arange(4).sum()))"


@pytest.mark.parametrize("name", every(("docker", "podman")))
def test_a_loaded_image_has_the_id_of_a_pulled_one(
    name: str, engines: Engines, server: Server, made: Made
) -> None:
    """The same config, whatever the layers are compressed with."""
    engine = engines.get(name)
    assert isinstance(engine, Docker | Podman)
    pulled = server.reference(f"{NAME}:{TAG}")
    result = engine.pull(pulled)
    assert result.ok, result.output
    loaded = engine.load(made.files["image.tar"])
    assert loaded.endswith(f"build/{made.lock.key}:latest")
    assert engine.image_id(loaded) == engine.image_id(pulled)


@pytest.mark.parametrize("name", every(("docker", DOCKER_29, "podman")))
def test_a_loaded_image_runs(name: str, engines: Engines, made: Made) -> None:
    """Also where the engine keeps its images in containerd."""
    engine = engines.get(name)
    assert isinstance(engine, Docker | Podman)
    loaded = engine.load(made.files["image.tar"])
    assert engine.run(loaded, "python", "-c", CODE).strip() == "6"


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
@pytest.mark.engine("skopeo")
def test_skopeo_reads_the_file_in_both_ways(
    transport: str, engines: Engines, made: Made, tmp_path: Path
) -> None:
    """As docker saves images, and as OCI lays them out."""
    engines.get("skopeo")
    target = tmp_path / "layout"
    argv = [
        "skopeo",
        "--insecure-policy",
        "copy",
        f"{transport}:{made.files['image.tar']}",
        f"oci:{target}:image",
    ]
    outcome = run(argv, env={"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})
    assert outcome.returncode == 0, outcome.output
    (entry,) = json.loads((target / "index.json").read_bytes())["manifests"]
    digits = entry["digest"].partition(":")[2]
    manifest = json.loads((target / "blobs" / "sha256" / digits).read_bytes())
    assert len(manifest["layers"]) > 1
