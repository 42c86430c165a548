"""Requests that no client would send, and some that one would, drawn by hypothesis."""

import json
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from builder.oci.digest import EMPTY, digest_of
from builder.oci.models import OCI_INDEX, OCI_MANIFEST
from tests.registry.asgi import Client, HeaderPairs, Reply
from tests.registry.pushing import index_of, manifest_of

BLOB: Final = b"a blob of ten thousand"
MANIFEST: Final = manifest_of(b"{}", BLOB)
_DIGESTS: Final = [
    *(EMPTY, digest_of(BLOB), digest_of(b"{}"), digest_of(BLOB, "sha512"), digest_of(MANIFEST)),
    *("sha256:x", "sha512:" + "0" * 128, "sha256:" + "A" * 64, "md5:0", ":", "sha256:../../etc"),
]
_NAMES: Final = [
    *("team/app", "team/else", "a", "env/numpy", "env/x", "build/" + "0" * 32, "team/app/blobs"),
    *("manifests", "uploads", "_catalog", "Team", "..", "../..", "a//b", "a__b", "a___b", ""),
    *("%2e%2e", "%2F", "%00", "%0A", "%FF", "%C3%A4", "x" * 300, "x/" * 150 + "x", "{n}", "'\"<"),
]
_TAGS: Final = ["latest", "v1", "-x", "..", "a" * 128, "a" * 129, "%20", "%00", "a%2Fb", "🦆", ""]
_IDS: Final = ["", "0" * 32, "1", "..", "%2e%2e%2f%2e%2e", "f" * 33]

_names = st.sampled_from(_NAMES) | st.text(max_size=20)
_references = st.sampled_from([*_TAGS, *_DIGESTS]) | st.text(max_size=10)
_paths = st.one_of(
    st.builds("/v2/{}/manifests/{}".format, _names, _references),
    st.builds("/v2/{}/blobs/{}".format, _names, _references),
    st.builds("/v2/{}/blobs/uploads/{}".format, _names, st.sampled_from(_IDS)),
    st.builds("/v2/{}/referrers/{}".format, _names, _references),
    st.builds("/v2/{}/tags/list".format, _names),
    st.builds("/v2/{}".format, st.text(max_size=30)),
    st.sampled_from(["/v2/", "/v2", "/v2/_catalog", "/v2//", "@upload", "@upload", "@upload"]),
)
_values = st.one_of(
    st.sampled_from([*_DIGESTS, *_NAMES, *_TAGS, "0", "1", "-1", "9" * 30, "sha512", "a/b"]),
    st.text(max_size=10),
)
_parameters = st.sampled_from(
    [
        "digest",
        "mount",
        "from",
        "tag",
        "n",
        "last",
        "artifactType",
        "digest-algorithm",
        "wait",
        "ns",
    ]
)
_queries = st.lists(st.tuples(_parameters, _values), max_size=3)
_headers = st.lists(
    st.sampled_from(
        [
            *(("range", text) for text in ("bytes=0-1", "bytes=9-", "bytes=-", "bytes=5-2", "x")),
            *(("content-range", t) for t in ("0-21", "0-4", "5-9", "9-0", "x", "9" * 40 + "-1")),
            *(("content-type", t) for t in (OCI_MANIFEST, OCI_INDEX, "a/b", "\xff", ";", "")),
            *(("content-length", text) for text in ("22", "0", "-1", "x", "9" * 30)),
            *(("accept", text) for text in (OCI_MANIFEST, "*/*;q=0", ",;=\xff")),
            *(("if-none-match", "*"), ("if-range", "x"), ("user-agent", "containerd/2.0")),
            *(("x-request-id", "\xe4\t"), ("host", "<script>"), ("expect", "100-continue")),
        ]
    ),
    max_size=3,
)
_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["schemaVersion", "mediaType", "config", "layers", "manifests", "digest"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
).map(lambda document: json.dumps(document).encode())
_bodies = st.one_of(
    st.sampled_from([b"", BLOB, BLOB[:5], b"{}", MANIFEST, MANIFEST[:-1], index_of(MANIFEST)]),
    _documents,
    st.binary(max_size=30),
)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: HeaderPairs
    body: bytes
    #: Whether the client leaves before its body has ended.
    is_cut: bool


requests: st.SearchStrategy[list[Request]] = st.lists(
    st.builds(
        Request,
        st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]),
        _paths,
        _queries,
        _headers,
        _bodies,
        st.integers(0, 9).map(lambda number: number == 0),
    ),
    min_size=1,
    max_size=10,
)


def assert_sane(reply: Reply, request: Request) -> None:
    """Assert that it is no failure of the server, and if an error, one of the protocol."""
    if reply.status == 0:
        assert request.is_cut, request
        return
    assert reply.status < 500, (request, reply)
    if reply.status >= 400 and request.method != "HEAD":
        assert reply.headers["content-type"] == "application/json", (request, reply)
        (error,) = reply.json()["errors"]
        assert set(error) == {"code", "message", "detail"}
        assert error["message"].isprintable() or error["message"].strip()


async def send(client: Client, request: Request, upload: str) -> Reply:
    """Send a request; ``@upload`` is the upload that was begun last."""
    path = upload if request.path == "@upload" else request.path
    return await client.raw(
        request.method, path, request.query, request.headers, request.body, is_cut=request.is_cut
    )
