import pytest

from builder.oci.digest import digest_of
from tests.registry.asgi import Client, assert_oci_error
from tests.registry.fakes import FakeBuiltSource, manifest_data

pytestmark = pytest.mark.anyio

LOST = manifest_data("env/numpy", "oci-zstd", index=False)
DIGEST = digest_of(LOST)
BLOB = f"/v2/env/numpy/blobs/{DIGEST}"
MANIFEST = f"/v2/env/numpy/manifests/{DIGEST}"


@pytest.mark.parametrize("path", [BLOB, MANIFEST])
async def test_what_is_gone_from_the_store_is_made_again(
    client: Client, pulls: FakeBuiltSource, path: str
) -> None:
    pulls.lost[DIGEST] = LOST
    reply = await client.get(path)
    assert (reply.status, reply.body) == (200, LOST)
    assert reply.headers["docker-content-digest"] == DIGEST


@pytest.mark.parametrize("path", [BLOB, MANIFEST])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_client_waits_for_it_as_for_any_build(
    client: Client, pulls: FakeBuiltSource, path: str, method: str
) -> None:
    pulls.lost[DIGEST] = LOST
    pulls.restore_rounds = 3
    reply, hops = await client.follow(method, path)
    assert (reply.status, hops) == (200, 3)


async def test_the_redirect_is_no_absolute_address_though_digests_have_a_colon(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.restore_rounds = 1
    reply = await client.get(BLOB)
    assert reply.status == 307
    assert reply.headers["location"] == f"./{DIGEST}?wait=1"


async def test_what_was_never_made_here_is_unknown(client: Client) -> None:
    assert_oci_error(await client.get(BLOB), 404, "BLOB_UNKNOWN")
    assert_oci_error(await client.get(MANIFEST), 404, "MANIFEST_UNKNOWN")
