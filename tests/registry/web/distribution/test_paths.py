import pytest

from registry.errors import EndpointUnknown
from registry.web.distribution.paths import Target, parse_path


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v2", Target("api")),
        ("/v2/", Target("api")),
        ("/v2/env/a/manifests/latest", Target("manifest", "env/a", "latest")),
        ("/v2/a/manifests/b/manifests/c", Target("manifest", "a/manifests/b", "c")),
        ("/v2/a/blobs/sha256:x", Target("blob", "a", "sha256:x")),
        ("/v2/a/tags/list", Target("tags", "a")),
        ("/v2/a/tags/list/tags/list", Target("tags", "a/tags/list")),
        ("/v2/a/manifests/tags/list", Target("tags", "a/manifests")),
        ("/v2/a/referrers/sha256:x", Target("referrers", "a", "sha256:x")),
        ("/v2/_catalog", Target("catalog")),
        ("/v2/a/blobs/uploads", Target("uploads", "a")),
        ("/v2/a/blobs/uploads/", Target("uploads", "a")),
        ("/v2/a/blobs/uploads/17", Target("upload", "a", "17")),
        ("/v2/manifests/latest", Target("manifest", "", "latest")),
        ("/v2/a/manifests/", Target("manifest", "a", "")),
        ("/v2//manifests/x", Target("manifest", "", "x")),
    ],
)
def test_an_address_is_read_from_its_end(path: str, target: Target) -> None:
    assert parse_path(path) == target


@pytest.mark.parametrize(
    "path",
    [
        "/v2//",
        "/v2/x",
        "/v2/_catalog/x",
        "/v2/a/tags",
        "/v2/a/tags/other",
        "/v2/a/uploads/x",
        "/v2/a/manifests",
        "/v2/a/nothing/x",
    ],
)
def test_any_other_address_is_unknown(path: str) -> None:
    with pytest.raises(EndpointUnknown):
        parse_path(path)
