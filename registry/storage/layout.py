"""Where everything lies in the store: one drawing, one function for each kind of key.

::

    blobs/<algorithm>/<aa>/<hex>               layers, configs, manifests and indexes
    packages/<aa>/<sha256>                     package archives and wheels
    sums/<aa>/<digest>.json                    package without sha256 or md5 in its index → both
    contents/<aa>/<sha256>.json                package or wheel → the paths it installs
    activations/<aa>/<digest>.json             scripts, paths, variables → what activation sets
    layers/<aa>/<layer key>.<encoding>.json    layer → diff_id, digest, sizes
    solves/<aa>/<spec digest>.json             spec → key of a lock, when
    locks/<key>.yml                            the lock: the only thing that must be backed up
    images/<key>.<flavour>.json                lock → documents of its image
    origins/<aa>/<digest>.json                 blob → lock and flavour it can be made from again
    forms/<key>/<platform or all>/<format>/<name>   lock → a form of it: archive, image.tar, SBOM, …
    used/<key>.json                            build → when its image was used last, to the hour
    pins/<key>                                 build → it stays makeable: its packages are kept
    blocked/<key>                              build → why nobody may have it
    stems/<key>.json                           lock → its packages, and what it shares with variants
    rules/<digest>.json                        rules of policies, as builds were made by them
    rules/current                              the digest of those that hold everywhere
    logs/<key>.txt                             build → how it was made, for people
    requests/<id>.json                         what somebody sent → how far it is, its build
    inputs/<id>                                the bytes that were sent, while their request is open
    repositories/<name>/_tags/<tag>            tag → what was pulled by it, or pushed to it
    environments/<namespace>/<environment>     named environment → the keys of its versions
    namespaces/<namespace>                     there is such a namespace: what is in it is private
    bases/<base>/<digest>                      blob → it came from where this base image lies
    probes/<random>                            written and deleted to see whether the store works

What was pushed, which is data and no cache::

    repositories/<name>/_manifests/<digest>          manifest → its media type, size and subject
    repositories/<name>/_tagged/<digest>/<tag>       manifest → the tags it was ever pushed to
    repositories/<name>/_referrers/<subject>/<type>/<digest>     subject → descriptor of a referrer
    catalog/<repository>                             every repository that was pushed to
    holders/<algorithm>/<aa>/<hex>/<repository>/…    blob → who needs it, and who may read it:
        pushed                                           the repository itself
        manifest                                         it is a manifest of the repository
        <digest>                                         a manifest of the repository has it
    loose/<digest>/<repository>                      blob that perhaps nothing needs any more
    sweeping/<digest>                                blob that a collector is about to delete
    uploads/<id>/…                                   blobs that are being pushed

``<aa>`` is the first two digits of what follows: no directory gets more than a 256th of the files.
In these keys a digest is written with ``-`` for ``:``, a repository as one segment with ``!`` for
``/``; ``<type>`` is a digest of the artifact type, so that a filtered list reads nothing else, and
``<base>`` one of the base's name.
Tags have no ending: their keys are in the order in which tags are listed.

``_tags`` starts with an underscore since no component of a repository's name can: without it, the
repository ``env/zlib/tags/latest`` would need a directory where ``env/zlib`` has a file.
"""

from typing import Final

from builder.keys import segment, short, spread
from builder.oci.digest import Digest, algorithm_of, hex_of

#: The blobs that may be part of images made here.
SHA256_BLOBS: Final = "blobs/sha256/"
PACKAGES: Final = "packages/"
LAYER_RECORDS: Final = "layers/"
LOCKS: Final = "locks/"
IMAGES: Final = "images/"
USES: Final = "used/"
PINS: Final = "pins/"
BLOCKED: Final = "blocked/"
RULES: Final = "rules/"
#: The digest of the rules that hold everywhere, for servers and workers that know no policies.
CURRENT_RULES: Final = f"{RULES}current"
CATALOG: Final = "catalog/"
HOLDERS: Final = "holders/"
LOOSE: Final = "loose/"
UPLOADS: Final = "uploads/"
#: Who holds the blobs of base images that were pushed here: no repository can have this name.
BASES: Final = "@bases"
INPUTS: Final = "inputs/"
ENVIRONMENTS: Final = "environments/"
NAMESPACES: Final = "namespaces/"
#: No keys: where a database is that nobody has put elsewhere, in the directory of a store.
DATABASE: Final = "database/"


def solve_key(spec: str) -> str:
    """Return where it is written what a spec was solved to."""
    return f"solves/{spread(spec)}.json"


def image_key(build: str, flavour: str) -> str:
    """Return where it is written which documents the image of a lock has."""
    return f"images/{build}.{flavour}.json"


def origin_key(digest: Digest) -> str:
    """Return where it is written which lock and flavour a blob can be made from again."""
    return f"origins/{spread(hex_of(digest))}.json"


def used_key(build: str) -> str:
    """Return where it is written when the image of a lock was used last."""
    return f"{USES}{build}.json"


def pin_key(build: str) -> str:
    """Return where it is written that a lock stays makeable for ever."""
    return f"{PINS}{build}"


def blocked_key(build: str) -> str:
    """Return where it is written that a build is blocked, and why."""
    return f"{BLOCKED}{build}"


def stem_key(build: str) -> str:
    """Return where it is written what a lock has in common with its variants."""
    return f"stems/{build}.json"


def rules_key(digest: str) -> str:
    """Return where rules are that builds are made by."""
    return f"{RULES}{digest}.json"


def log_key(build: str) -> str:
    """Return where it is written, for people, how a build was made."""
    return f"logs/{build}.txt"


def request_key(request: str) -> str:
    """Return where it is written how far a request is, and which build it led to."""
    return f"requests/{request}.json"


def input_key(request: str) -> str:
    """Return where the bytes are that an open request was sent with."""
    return f"{INPUTS}{request}"


def environment_key(path: str) -> str:
    """Return where it is written what a named environment leads to.

    >>> environment_key("analytics/forecast")
    'environments/analytics/forecast'
    """
    return f"{ENVIRONMENTS}{path}"


def namespace_key(slug: str) -> str:
    """Return where it is written that there is a namespace.

    >>> namespace_key("analytics")
    'namespaces/analytics'
    """
    return f"{NAMESPACES}{slug}"


def tags_prefix(repository: str) -> str:
    """Return what the keys of all tags of a repository start with."""
    return f"repositories/{repository}/_tags/"


def tag_key(repository: str, tag: str) -> str:
    """Return where it is written what a tag led to."""
    return f"{tags_prefix(repository)}{tag}"


def tag_keys_below(prefix: str) -> str:
    """Return what the keys of all tags start with of images made here below ``prefix``."""
    return f"repositories/{prefix}"


def split_tag_key(key: str) -> tuple[str, str]:
    """Return repository and tag of a tag's key.

    >>> split_tag_key("repositories/env/numpy/_tags/latest")
    ('env/numpy', 'latest')
    """
    repository, _, tag = key.removeprefix("repositories/").partition("/_tags/")
    return repository, tag


def manifest_record_key(repository: str, digest: Digest) -> str:
    """Return where it is written what a pushed manifest is."""
    return f"{manifests_prefix(repository)}{segment(digest)}"


def manifests_prefix(repository: str) -> str:
    """Return what the keys of all manifests start with that were pushed to a repository."""
    return f"repositories/{repository}/_manifests/"


def tagged_prefix(repository: str, digest: Digest) -> str:
    """Return what the keys start with that end in the tags a manifest was pushed to."""
    return f"repositories/{repository}/_tagged/{segment(digest)}/"


def referrers_prefix(repository: str, subject: Digest, artifact_type: str = "") -> str:
    """Return what the keys of a subject's referrers start with, or of those of one type."""
    prefix = f"repositories/{repository}/_referrers/{segment(subject)}/"
    return f"{prefix}{short(artifact_type)}/" if artifact_type else prefix


def referrer_key(repository: str, subject: Digest, artifact_type: str, digest: Digest) -> str:
    """Return where the descriptor of a referrer is."""
    prefix = referrers_prefix(repository, subject)
    return f"{prefix}{short(artifact_type)}/{segment(digest)}"


def catalog_key(repository: str) -> str:
    """Return where it is written that something was pushed to a repository."""
    return f"{CATALOG}{segment(repository)}"


def holders_prefix(digest: Digest, repository: str = "") -> str:
    """Return what the keys of everyone who needs a blob start with, or of those of a repository."""
    prefix = f"{HOLDERS}{algorithm_of(digest)}/{spread(hex_of(digest))}/"
    return f"{prefix}{segment(repository)}/" if repository else prefix


def pushed_key(digest: Digest, repository: str) -> str:
    """Return where it is written that a blob was pushed to a repository, or mounted there."""
    return f"{holders_prefix(digest, repository)}pushed"


def manifest_holder_key(digest: Digest, repository: str) -> str:
    """Return where it is written that the bytes of a manifest belong to a repository."""
    return f"{holders_prefix(digest, repository)}manifest"


def part_holder_key(digest: Digest, repository: str, manifest: Digest) -> str:
    """Return where it is written that a manifest of a repository needs a blob."""
    return f"{holders_prefix(digest, repository)}{segment(manifest)}"


def loose_key(digest: Digest, repository: str) -> str:
    """Return where it is written that a repository perhaps needs a blob no more."""
    return f"{loose_prefix(digest)}{segment(repository)}"


def loose_prefix(digest: Digest) -> str:
    """Return what the keys of all such notes of a blob start with."""
    return f"{LOOSE}{segment(digest)}/"


def sweeping_key(digest: Digest) -> str:
    """Return where it is written that a blob is about to be deleted."""
    return f"sweeping/{segment(digest)}"


def upload_prefix(upload: str) -> str:
    """Return what all keys of an upload start with."""
    return f"{UPLOADS}{upload}/"


def repository_in(segment: str) -> str:
    """Return the repository that a segment of a key stands for.

    >>> repository_in("team!debian")
    'team/debian'
    """
    return segment.replace("!", "/")


def digest_in(segment: str) -> Digest:
    """Return the digest that a segment of a key stands for.

    >>> digest_in("sha256-e3b0")
    'sha256:e3b0'
    """
    return Digest(segment.replace("-", ":", 1))
