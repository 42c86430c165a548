"""Where everything lies in the store: one drawing, one function for each kind of key.

::

    blobs/sha256/<aa>/<digest>                 layers, configs, manifests and indexes
    packages/<aa>/<sha256>                     package archives and wheels
    contents/<aa>/<sha256>.json                package or wheel → the paths it installs
    layers/<aa>/<layer key>.<encoding>.json    layer → diff_id, digest, sizes
    solves/<aa>/<spec digest>.json             spec → key of a lock, when
    locks/<key>.yml                            the lock: the only thing that must be backed up
    images/<key>.<flavour>.json                lock → documents of its image
    origins/<aa>/<digest>.json                 blob → lock and flavour it can be made from again
    forms/<key>/<platform or all>/<format>/<name>   lock → a form of it: archive, image.tar, SBOM, …
    used/<key>.json                            build → when its image was used last, to the hour
    pins/<key>                                 build → it stays makeable: its packages are kept
    logs/<key>.txt                             build → how it was made, for people
    requests/<id>.json                         what somebody sent → how far it is, its build
    inputs/<id>                                the bytes that were sent, while their request is open
    repositories/<name>/_tags/<tag>.json       tag → what was pulled by it

``<aa>`` is the first two digits of what follows: no directory gets more than a 256th of the files.

``_tags`` starts with an underscore since no component of a repository's name can: without it, the
repository ``env/zlib/tags/latest.json`` would need a directory where ``env/zlib`` has a file.
"""

from typing import Final

from builder.oci.digest import Digest, hex_of

#: What the keys of each kind start with.
BLOBS: Final = "blobs/sha256/"
PACKAGES: Final = "packages/"
LAYER_RECORDS: Final = "layers/"
LOCKS: Final = "locks/"
IMAGES: Final = "images/"
FORMS: Final = "forms/"
USES: Final = "used/"
PINS: Final = "pins/"
INPUTS: Final = "inputs/"


def blob_key(digest: Digest) -> str:
    """Return where the bytes of ``digest`` are.

    >>> from builder.oci.digest import EMPTY
    >>> blob_key(EMPTY)[:23]
    'blobs/sha256/e3/e3b0c44'
    """
    return f"blobs/sha256/{_spread(hex_of(digest))}"


def package_key(sha256: str) -> str:
    """Return where a package archive is."""
    return f"packages/{_spread(sha256)}"


def contents_key(sha256: str) -> str:
    """Return where it is written what a package installs."""
    return f"contents/{_spread(sha256)}.json"


def layer_record_key(layer: str, encoding: str) -> str:
    """Return where it is written which blob a layer is in an encoding."""
    return f"layers/{_spread(layer)}.{encoding}.json"


def solve_key(spec: str) -> str:
    """Return where it is written what a spec was solved to."""
    return f"solves/{_spread(spec)}.json"


def lock_key(build: str) -> str:
    """Return where a lock is."""
    return f"locks/{build}.yml"


def image_key(build: str, flavour: str) -> str:
    """Return where it is written which documents the image of a lock has."""
    return f"images/{build}.{flavour}.json"


def form_key(build: str, scope: str, form_format: int, name: str) -> str:
    """Return where a form of a lock is.

    >>> form_key("ab12", "linux-64", 1, "archive.tar.gz")
    'forms/ab12/linux-64/1/archive.tar.gz'
    """
    return f"{FORMS}{build}/{scope}/{form_format}/{name}"


def origin_key(digest: Digest) -> str:
    """Return where it is written which lock and flavour a blob can be made from again."""
    return f"origins/{_spread(hex_of(digest))}.json"


def used_key(build: str) -> str:
    """Return where it is written when the image of a lock was used last."""
    return f"{USES}{build}.json"


def pin_key(build: str) -> str:
    """Return where it is written that a lock stays makeable for ever."""
    return f"{PINS}{build}"


def log_key(build: str) -> str:
    """Return where it is written, for people, how a build was made."""
    return f"logs/{build}.txt"


def request_key(request: str) -> str:
    """Return where it is written how far a request is, and which build it led to."""
    return f"requests/{request}.json"


def input_key(request: str) -> str:
    """Return where the bytes are that an open request was sent with."""
    return f"{INPUTS}{request}"


def tags_prefix(repository: str) -> str:
    """Return what the keys of all tags of a repository start with."""
    return f"repositories/{repository}/_tags/"


def tag_key(repository: str, tag: str) -> str:
    """Return where it is written what a tag led to."""
    return f"{tags_prefix(repository)}{tag}.json"


def _spread(digits: str) -> str:
    return f"{digits[:2]}/{digits}"
