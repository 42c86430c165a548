"""A lock as CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/)."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from builder.exports.components import (
    Component,
    base_purl,
    base_sha256,
    components_of,
    newest_time,
)
from builder.lock import Lock
from builder.platforms import Subdir
from builder.records import BaseReference

_SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"


def to_cyclonedx(lock: Lock, platforms: Sequence[Subdir], licenses: Mapping[str, str]) -> bytes:
    """Return the bill of materials of the images for ``platforms``, with ``licenses`` by sha256."""
    components = components_of(lock, platforms, licenses)
    image = f"build/{lock.key}"
    parts = [_base(lock.base)] if lock.base else []
    parts += [_archive(component) for component in components]
    # Of the address that the SPDX document has as its name space: unique, and always the same.
    address = f"https://pullforge.io/cyclonedx/{lock.key}/{'+'.join(platforms)}"
    document = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, address).urn,
        "version": 1,
        "metadata": {
            "timestamp": newest_time(lock, platforms),
            "tools": {"components": [{"type": "application", "name": "pullforge"}]},
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": image,
                "version": lock.key,
            },
        },
        "components": parts,
        "dependencies": [
            {"ref": image, "dependsOn": [part["bom-ref"] for part in parts]},
            *(
                {"ref": component.purl, "dependsOn": list(component.needs)}
                for component in components
            ),
        ],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _base(base: BaseReference) -> dict[str, Any]:
    purl = base_purl(base)
    return {
        "type": "container",
        "bom-ref": purl,
        "name": base.name,
        "version": base.digest,
        "hashes": [{"alg": "SHA-256", "content": base_sha256(base)}],
        "purl": purl,
    }


def _archive(component: Component) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "library",
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "hashes": [{"alg": "SHA-256", "content": component.sha256}],
        "purl": component.purl,
        "externalReferences": [{"type": "distribution", "url": component.url}],
    }
    if component.md5:
        entry["hashes"].append({"alg": "MD5", "content": component.md5})
    if component.license_expression:
        entry["licenses"] = [{"expression": component.license_expression}]
    elif component.license.strip():
        entry["licenses"] = [{"license": {"name": component.license}}]
    return entry
