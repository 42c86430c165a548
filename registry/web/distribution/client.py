"""What a client can take, from the two headers that say something about it.

``Accept`` names types of manifests, on one line or on several. Nothing in the protocol names the
compression of layers, so that is known by the engine's name and version in ``User-Agent``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from builder.build.image import Flavour
from builder.oci.models import DOCKER_LIST, DOCKER_MANIFEST, INDEX_TYPES, MANIFEST_TYPES
from registry.web.asgi.headers import RequestHeaders

#: The first version, major and minor, that unpacks zstd layers. By the name in User-Agent.
#: Everything that is not here gets gzip, which everything can unpack.
ZSTD_SINCE: Final[dict[str, tuple[int, int]]] = {
    "docker": (23, 0),  # moby/moby#40820
    "containerd": (1, 5),  # containerd/containerd#4809; also nerdctl and ctr
    "nerdctl": (0, 0),
    "buildkit": (0, 10),
    "containers": (5, 0),  # containers/image, the library below the next five
    "libpod": (1, 8),
    "podman": (1, 8),
    "buildah": (1, 14),
    "skopeo": (1, 0),
    "cri-o": (1, 18),
    "go-containerregistry": (0, 13),  # google/go-containerregistry#1486
    "oras-go": (0, 0),  # copies blobs as they are
    "oras": (0, 0),
}

_PRODUCT: Final = re.compile(
    r"(?:^|\s)([a-z-]+)(?:/v?([0-9]{1,6})(?:\.([0-9]{1,6}))?)?(?=[\s.~+-]|$)"
)
_COMMENT: Final = re.compile(r"\([^()]*\)")
_WILDCARDS: Final = frozenset({"*/*", "application/*"})
_REFUSED: Final = re.compile(r"q=0(?:\.0{0,3})?")
#: More of a header than any client sends; what is cached must not grow with what is sent.
_MAX_HEADER: Final = 2000


@dataclass(frozen=True, slots=True)
class Negotiated:
    """Which of an image's manifests to answer."""

    flavour: Flavour
    #: Whether an index may be answered; else the manifest of the first platform.
    index: bool


def negotiate(headers: RequestHeaders) -> Negotiated:
    """Return what the sender of ``headers`` can take."""
    accept, user_agent = headers.get("accept", ""), headers.get("user-agent", "")
    return _wanted(accept[:_MAX_HEADER], user_agent[:_MAX_HEADER])


@lru_cache(maxsize=1024)
def _wanted(accept: str, user_agent: str) -> Negotiated:
    types = frozenset(_accepted(accept.split(",")))
    named = types & (MANIFEST_TYPES | INDEX_TYPES)
    takes_anything = not named or bool(types & _WILDCARDS)
    index = takes_anything or bool(named & INDEX_TYPES)
    if not takes_anything and named <= {DOCKER_MANIFEST, DOCKER_LIST}:
        return Negotiated("docker-gzip", index)
    return Negotiated("oci-zstd" if unpacks_zstd(user_agent) else "oci-gzip", index)


def unpacks_zstd(user_agent: str) -> bool:
    """Tell whether the client is known to unpack layers compressed with zstd.

    The first product that is known decides: tools put their own name before that of the library.

    >>> unpacks_zstd("docker/20.10.24 go/go1.19 UpstreamClient(Docker-Client/28.2)")
    False
    >>> unpacks_zstd("containers/5.23.1 (github.com/containers/image)")
    True
    """
    text = _COMMENT.sub(" ", user_agent.replace("\\(", "(").replace("\\)", ")")).lower()
    for name, major, minor in _PRODUCT.findall(text):
        since = ZSTD_SINCE.get(name)
        if since is not None:
            # Without a version it could be any, save where every version will do.
            version = (int(major), int(minor or 0)) if major else (0, 0)
            return version >= since
    return False


def _accepted(entries: Iterable[str]) -> Iterator[str]:
    """Yield the media types of an Accept header, without those it refuses."""
    for entry in entries:
        media_type, *parameters = (part.strip() for part in entry.lower().split(";"))
        if media_type and not any(_REFUSED.fullmatch(parameter) for parameter in parameters):
            yield media_type
