"""Keys of the builder in the store; ``registry/storage/layout.py`` draws the whole store."""

from typing import Final

from builder.oci.digest import Digest, algorithm_of, digest_of, hex_of

#: What the keys of each kind start with.
BLOBS: Final = "blobs/"
FORMS: Final = "forms/"


def blob_key(digest: Digest) -> str:
    """Return where the bytes of ``digest`` are.

    >>> from builder.oci.digest import EMPTY
    >>> blob_key(EMPTY)[:23]
    'blobs/sha256/e3/e3b0c44'
    """
    return f"{BLOBS}{algorithm_of(digest)}/{spread(hex_of(digest))}"


def package_key(sha256: str) -> str:
    """Return where a package archive is."""
    return f"packages/{spread(sha256)}"


def sums_key(digest: str) -> str:
    """Return where the checksums of a package are written whose index does not give both."""
    return f"sums/{spread(digest)}.json"


def contents_key(sha256: str) -> str:
    """Return where it is written what a package installs."""
    return f"contents/{spread(sha256)}.json"


def activation_key(digest: str) -> str:
    """Return where it is written what the scripts of an environment set."""
    return f"activations/{spread(digest)}.json"


def layer_record_key(layer: str, encoding: str) -> str:
    """Return where it is written which blob a layer is in an encoding."""
    return f"layers/{spread(layer)}.{encoding}.json"


def base_part_key(base: str, digest: Digest) -> str:
    """Return where it is written that a blob came from where a base image lies.

    Args:
        base: Its name in locks, e.g. ``"docker.io/library/debian"``.
        digest: Of a document or layer.
    """
    return f"bases/{short(base)}/{segment(digest)}"


def lock_key(build: str) -> str:
    """Return where a lock is."""
    return f"locks/{build}.yml"


def form_key(build: str, scope: str, form_format: int, name: str) -> str:
    """Return where a form of a lock is.

    >>> form_key("ab12", "linux-64", 1, "archive.tar.gz")
    'forms/ab12/linux-64/1/archive.tar.gz'
    """
    return f"{FORMS}{build}/{scope}/{form_format}/{name}"


def form_digest_key(form: str) -> str:
    """Return where the digest of a form is that is too large to be hashed at each request.

    >>> form_digest_key("forms/ab12/linux-64/2/archive.tar.gz")
    'forms/ab12/linux-64/2/archive.tar.gz.digest'
    """
    return f"{form}.digest"


def spread(digits: str) -> str:
    """Return digits below a directory of their first two."""
    return f"{digits[:2]}/{digits}"


def segment(name: str) -> str:
    """Return a name or digest as one segment of a key."""
    return name.replace(":", "-").replace("/", "!")


def short(text: str) -> str:
    """Return 32 digits that stand for a text of any length."""
    return hex_of(digest_of(text.encode()))[:32]
