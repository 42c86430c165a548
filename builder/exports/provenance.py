"""Where an image comes from: in-toto and SLSA provenance, the same whoever makes the image.

Source: https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from builder.build.image import Flavour
from builder.exports.components import base_purl, base_sha256
from builder.layer import LAYER_FORMAT, PREFIX
from builder.lock import LOCK_FORMAT, Lock
from builder.oci.digest import hex_of
from builder.oci.models import Descriptor

#: How ``externalParameters`` is to be read; described in docs/forms.md.
BUILD_TYPE: Final = "https://pullforge.io/build-types/lock/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILDER: Final = "https://pullforge.io/builder/v1"


def to_provenance(lock: Lock, flavour: Flavour, manifests: Sequence[Descriptor]) -> bytes:
    """Return the statement about the index and manifests of an image made from ``lock``."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": f"build/{lock.key}", "digest": {"sha256": hex_of(one.digest)}}
            for one in manifests
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"lock": lock.key},
                "internalParameters": {
                    "flavour": flavour,
                    "layerFormat": LAYER_FORMAT,
                    "lockFormat": LOCK_FORMAT,
                    "prefix": PREFIX,
                },
                "resolvedDependencies": _dependencies(lock),
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }
    return json.dumps(statement, indent=1).encode() + b"\n"


def _dependencies(lock: Lock) -> list[dict[str, Any]]:
    """Return the base and every archive, each once, archives sorted by address."""
    found: list[dict[str, Any]] = []
    if lock.base:
        found.append(
            {
                "name": lock.base.name,
                "uri": base_purl(lock.base),
                "digest": {"sha256": base_sha256(lock.base)},
            }
        )
    archives = {
        archive.url: archive
        for kind in (lock.platforms, lock.wheels)
        for records in kind.values()
        for archive in records
    }
    found += [
        {
            "name": archives[url].file_name,
            "uri": url,
            "digest": {"sha256": archives[url].sha256},
        }
        for url in sorted(archives)
    ]
    return found
