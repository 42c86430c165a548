"""References to images in registries: ``host/repository:tag`` or ``host/repository@digest``."""

import re
from dataclasses import dataclass

from builder.errors import BaseImageError
from builder.oci.digest import Digest, parse_digest

_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


def is_repository(name: str) -> bool:
    """Tell whether ``name`` is a repository's name (distribution-spec, "Pulling manifests").

    >>> is_repository("env/numpy.pandas"), is_repository("env/a..b"), is_repository("Env/a")
    (True, False, False)
    """
    return len(name) <= 255 and _REPOSITORY.fullmatch(name) is not None


def is_tag(text: str) -> bool:
    """Tell whether ``text`` is a tag (distribution-spec, "Pulling manifests").

    >>> is_tag("2026-11-01-py3.12"), is_tag("-x"), is_tag("a+b")
    (True, False, False)
    """
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is in a registry."""

    #: Host, with the port where there is one, e.g. ``"docker.io"`` or ``"127.0.0.1:5000"``.
    host: str
    repository: str
    tag: str | None
    digest: Digest | None

    @property
    def name(self) -> str:
        """Host and repository, e.g. ``"docker.io/library/debian"``."""
        return f"{self.host}/{self.repository}"

    @property
    def manifest(self) -> str:
        """What stands behind ``/manifests/``: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        """Return it as it is written, e.g. ``docker.io/library/debian:bookworm-slim``."""
        return f"{self.name}{'@' if self.digest else ':'}{self.manifest}"


def parse_reference(text: str) -> Reference:
    """Return the parts of a reference, filled in the way docker does.

    >>> parse_reference("debian:bookworm-slim").name
    'docker.io/library/debian'
    >>> parse_reference("localhost:5000/base").host
    'localhost:5000'

    Raises:
        BaseImageError: It is not a reference.
    """
    rest, _, digest = text.partition("@")
    head, slash, tail = rest.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, tail = "docker.io", rest
    repository, _, tag = tail.partition(":")
    if head == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    if not is_repository(repository) or (tag and not is_tag(tag)):
        raise BaseImageError(f"'{text}' is not an image reference: write it as HOST/REPOSITORY:TAG")
    return Reference(head, repository, tag or None, parse_digest(digest) if digest else None)
