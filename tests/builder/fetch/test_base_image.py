import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from builder.errors import BaseImageError, BaseImageUnavailable
from builder.fetch.base_image import BaseImage, BaseImages
from builder.keys import blob_key
from builder.oci.digest import Digest, digest_of
from builder.oci.layout import OciLayout
from builder.oci.models import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    PlatformModel,
    RootFs,
    dump,
)
from builder.platforms import PLATFORMS
from builder.records import BaseReference
from registry.storage.filesystem import FilesystemStore

LAYER = gzip.compress(b"not really a tar", mtime=0)
AMD64, ARM64 = PLATFORMS["linux-64"], PLATFORMS["linux-aarch64"]
Handler = Callable[[httpx.Request], httpx.Response]


def descriptor(media_type: str, data: bytes, platform: PlatformModel | None = None) -> Descriptor:
    return Descriptor(
        media_type=media_type, digest=digest_of(data), size=len(data), platform=platform
    )


def documents() -> dict[Digest, bytes]:
    """Return an image for amd64 behind an index, by digest; the index comes last."""
    config = dump(
        ImageConfig(
            architecture="amd64",
            os="linux",
            rootfs=RootFs(diff_ids=[digest_of(b"not really a tar")]),
        )
    )
    manifest = dump(
        ImageManifest(
            config=descriptor(OCI_CONFIG, config), layers=[descriptor(OCI_LAYER_GZIP, LAYER)]
        )
    )
    index = dump(
        ImageIndex(
            manifests=[
                descriptor(OCI_MANIFEST, manifest, PlatformModel(architecture="amd64", os="linux"))
            ]
        )
    )
    return {digest_of(data): data for data in (LAYER, config, manifest, index)}


DOCUMENTS = documents()
INDEX = list(DOCUMENTS)[-1]


class Registry:
    """A registry in this process that wants a token and serves one image."""

    def __init__(self, blobs: dict[Digest, bytes]) -> None:
        self.blobs = blobs
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        if request.url.host == "auth.test":
            return httpx.Response(200, json={"token": "secret"})
        if request.headers.get("Authorization") != "Bearer secret":
            challenge = 'Bearer realm="https://auth.test/token",service="x",scope="repository:y"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        reference = request.url.path.rpartition("/")[2]
        wanted = INDEX if reference == "bookworm" else Digest(reference)
        data = self.blobs.get(wanted)
        return httpx.Response(200, content=data) if data is not None else httpx.Response(404)


def fetch(
    handler: Handler, root: Path, reference: str, *, layout: Path | None = None, arm: bool = False
) -> BaseImage:
    async def scenario() -> BaseImage:
        (root / "scratch").mkdir(exist_ok=True)
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as http:
            bases = BaseImages(FilesystemStore(root / "store"), http, root / "scratch", layout)
            base = await bases.resolve(reference)
            return await bases.fetch(base, ARM64 if arm else AMD64)

    return asyncio.run(scenario())


def write_layout(directory: Path) -> Path:
    layout = OciLayout.create(directory)
    for data in DOCUMENTS.values():
        layout.add(data)
    layout.offer(descriptor(OCI_INDEX, DOCUMENTS[INDEX]), "base")
    return directory


def test_a_base_from_a_registry_lies_in_the_store_afterwards(tmp_path: Path) -> None:
    image = fetch(Registry(DOCUMENTS), tmp_path, "registry.test/library/debian:bookworm")
    assert [layer.digest for layer in image.layers] == [digest_of(LAYER)]
    assert (tmp_path / "store" / blob_key(digest_of(LAYER))).read_bytes() == LAYER


def test_a_base_in_the_store_is_not_fetched_again(tmp_path: Path) -> None:
    reference = f"registry.test/library/debian@{INDEX}"
    first, second = Registry(DOCUMENTS), Registry({})
    assert fetch(first, tmp_path, reference) == fetch(second, tmp_path, reference)
    assert second.paths == []


def test_a_base_from_a_layout_directory_is_found_by_digest_alone(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout")
    image = fetch(Registry({}), tmp_path, f"oci:{layout}", layout=layout)
    assert [layer.digest for layer in image.layers] == [digest_of(LAYER)]


def test_a_layout_is_named_the_same_wherever_it_lies(tmp_path: Path) -> None:
    async def resolve(directory: Path) -> BaseReference:
        async with httpx.AsyncClient() as http:
            bases = BaseImages(FilesystemStore(tmp_path / "store"), http, tmp_path)
            return await bases.resolve(f"oci:{directory}")

    one = asyncio.run(resolve(write_layout(tmp_path / "one")))
    other = asyncio.run(resolve(write_layout(tmp_path / "other")))
    assert one == other == BaseReference("oci-layout", INDEX)


def test_a_platform_the_base_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(BaseImageError, match="has no linux/arm64"):
        fetch(Registry(DOCUMENTS), tmp_path, "registry.test/debian:bookworm", arm=True)


def test_other_bytes_than_the_digests_are_refused_and_not_kept(tmp_path: Path) -> None:
    tampered = DOCUMENTS | {digest_of(LAYER): LAYER[:-1] + b"x"}
    with pytest.raises(BaseImageError, match="other bytes"):
        fetch(Registry(tampered), tmp_path, "registry.test/debian:bookworm")
    assert not (tmp_path / "store" / blob_key(digest_of(LAYER))).exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_image_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BaseImageError, match="answered 404"):
        fetch(Registry({}), tmp_path, "registry.test/debian:bookworm")


def test_a_registry_that_does_not_answer_may_do_so_later(tmp_path: Path) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(BaseImageUnavailable, match=r"registry\.test does not answer") as raised:
        fetch(down, tmp_path, "registry.test/debian:bookworm")
    assert raised.value.transient


def test_a_layout_that_is_gone_asks_for_it_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with httpx.AsyncClient() as http:
            bases = BaseImages(FilesystemStore(tmp_path / "store"), http, tmp_path)
            await bases.fetch(BaseReference("oci-layout", INDEX), AMD64)

    with pytest.raises(BaseImageError, match="put the layout"):
        asyncio.run(scenario())


CHALLENGES = {
    "as docker hub": 'Bearer realm="https://auth.test/token",service="x",scope="repository:y:pull"',
    "without quotes": "Bearer realm=https://auth.test/token,service=x",
    "after another way": 'Basic realm="x", bearer realm="https://auth.test/token",service="x"',
    "without a service": 'Bearer realm="https://auth.test/token"',
}


@pytest.mark.parametrize("challenge", CHALLENGES.values(), ids=CHALLENGES)
def test_a_token_is_asked_for_as_the_registry_says(tmp_path: Path, challenge: str) -> None:
    registry, queries = Registry(DOCUMENTS), []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.test":
            queries.append(dict(request.url.params))
        answer = registry(request)
        if answer.status_code == 401:
            answer.headers["WWW-Authenticate"] = challenge
        return answer

    fetch(handler, tmp_path, "registry.test/acme/base:bookworm")
    assert queries[0]["scope"] in {"repository:acme/base:pull", "repository:y:pull"}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (httpx.Response(200, text="<html>"), "something else than a token"),
        (httpx.Response(200, json=["token"]), "something else than a token"),
        (httpx.Response(200, json={"token": "a\r\nb: c"}), "something else than a token"),
        (httpx.Response(403), "it is not there, or not for everyone"),
        (httpx.Response(503), "try again later"),
        (httpx.Response(429, headers={"Retry-After": "90"}), "try again in 90 seconds"),
    ],
    ids=["no JSON", "a list", "a header of its own", "403", "503", "429"],
)
def test_a_service_of_tokens_that_gives_none_is_told(
    tmp_path: Path, answer: httpx.Response, sentence: str
) -> None:
    registry = Registry(DOCUMENTS)

    def handler(request: httpx.Request) -> httpx.Response:
        return answer if request.url.host == "auth.test" else registry(request)

    with pytest.raises(BaseImageError, match=sentence) as error:
        fetch(handler, tmp_path, "registry.test/acme/base:bookworm")
    assert error.value.transient == ("try again" in sentence)


@pytest.mark.parametrize("realm", ["http://auth.test/token", "ftp://auth.test/token", "token", ""])
def test_a_token_is_never_asked_for_without_tls_elsewhere(tmp_path: Path, realm: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "registry.test"
        return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

    with pytest.raises(BaseImageError, match="asks for credentials"):
        fetch(handler, tmp_path, "registry.test/acme/base:bookworm")


def test_a_layer_that_is_no_filesystem_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    config = next(data for data in DOCUMENTS.values() if b"rootfs" in data)
    manifest = dump(
        ImageManifest(config=descriptor(OCI_CONFIG, config), layers=[descriptor(foreign, LAYER)])
    )
    registry = Registry({digest_of(data): data for data in (config, manifest)})
    with pytest.raises(BaseImageError, match="choose another base"):
        fetch(registry, tmp_path, f"registry.test/acme/base@{digest_of(manifest)}")
    assert not any(digest_of(LAYER) in path for path in registry.paths)
