"""Where everything lies in the store: one drawing, one function for each kind of key.

::

    blobs/sha256/<aa>/<digest>           layers, configs, manifests and indexes
    packages/<aa>/<sha256>               package archives
    contents/<aa>/<sha256>.json          package → the paths it installs
    layers/<aa>/<layer key>.<encoding>.json   layer → diff_id, digest, sizes
    solves/<aa>/<spec digest>.json       spec → key of a lock, when
    locks/<key>.yml                      the lock: the only thing that must be backed up
    images/<key>.<flavour>.json          lock → documents of its image
    repositories/<name>/_tags/<tag>.json tag → what was pulled by it

``<aa>`` is the first two digits of what follows: no directory gets more than a 256th of the files.

``_tags`` starts with an underscore since no component of a repository's name can: without it, the
repository ``env/zlib/tags/latest.json`` would need a directory where ``env/zlib`` has a file.

``builder`` writes below ``packages``, ``contents`` and ``layers``, ``registry.builds`` below
``solves``, ``locks`` and ``images``, each through its own functions.
"""

from builder.oci.digest import Digest, hex_of


def blob_key(digest: Digest) -> str:
    """Return where the bytes of ``digest`` are.

    >>> from builder.oci.digest import EMPTY
    >>> blob_key(EMPTY)[:23]
    'blobs/sha256/e3/e3b0c44'
    """
    digits = hex_of(digest)
    return f"blobs/sha256/{digits[:2]}/{digits}"
