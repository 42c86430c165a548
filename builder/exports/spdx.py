"""A lock as an SPDX 2.3 document in JSON.

::

    document ── DESCRIBES ──→ image ─┬─ CONTAINS ──→ each archive ── DEPENDS_ON ──→ others
                                     └─ DESCENDANT_OF ──→ base image

Source: https://spdx.github.io/spdx-spec/v2.3/.
"""

import hashlib
import json
import re
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

_DOCUMENT: Final = "SPDXRef-DOCUMENT"
_IMAGE: Final = "SPDXRef-Image"
_BASE: Final = "SPDXRef-Base"
_UNKNOWN: Final = "NOASSERTION"
_REFERENCE: Final = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")


def to_spdx(lock: Lock, platforms: Sequence[Subdir], licenses: Mapping[str, str]) -> bytes:
    """Return the bill of materials of the images for ``platforms``, with ``licenses`` by sha256."""
    components = components_of(lock, platforms, licenses)
    image = f"build/{lock.key}"
    relations = [(_DOCUMENT, "DESCRIBES", _IMAGE)]
    packages = [_package(_IMAGE, image, lock.key, primaryPackagePurpose="CONTAINER")]
    if lock.base:
        packages.append(_base(lock.base))
        relations.append((_IMAGE, "DESCENDANT_OF", _BASE))
    for component in components:
        packages.append(_archive(component))
        relations.append((_IMAGE, "CONTAINS", _id(component.purl)))
        relations += [(_id(component.purl), "DEPENDS_ON", _id(purl)) for purl in component.needs]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": image,
        "documentNamespace": f"https://pullforge.io/spdx/{lock.key}/{'+'.join(platforms)}",
        "creationInfo": {
            "created": newest_time(lock, platforms),
            "creators": ["Tool: pullforge"],
        },
        "packages": packages,
        "hasExtractedLicensingInfos": _extracted(components),
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _package(spdx_id: str, name: str, version: str, **fields: Any) -> dict[str, Any]:
    return {
        "SPDXID": spdx_id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        **fields,
    }


def _base(base: BaseReference) -> dict[str, Any]:
    return _package(
        _BASE,
        base.name,
        base.digest,
        primaryPackagePurpose="CONTAINER",
        checksums=_checksums(SHA256=base_sha256(base)),
        externalRefs=[_purl_reference(base_purl(base))],
    )


def _archive(component: Component) -> dict[str, Any]:
    return _package(
        _id(component.purl),
        component.name,
        component.version,
        # SPDX knows no addresses on the machine of the one who writes.
        downloadLocation=_UNKNOWN if component.url.startswith("file:") else component.url,
        licenseDeclared=_declared(component),
        checksums=_checksums(SHA256=component.sha256, MD5=component.md5),
        externalRefs=[_purl_reference(component.purl)],
    )


def _checksums(**digests: str) -> list[dict[str, str]]:
    return [{"algorithm": name, "checksumValue": value} for name, value in digests.items() if value]


def _purl_reference(purl: str) -> dict[str, str]:
    return {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }


def _id(purl: str) -> str:
    """Return an identifier, which may have letters, digits, ``.`` and ``-`` only."""
    return f"SPDXRef-Package-{hashlib.sha256(purl.encode()).hexdigest()[:24]}"


def _declared(component: Component) -> str:
    if not component.license.strip():
        return _UNKNOWN
    return component.license_expression or _reference_to(component.license)


def _reference_to(text: str) -> str:
    """Return the name under which the document has a licence that is no SPDX expression."""
    return f"LicenseRef-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _extracted(components: Sequence[Component]) -> list[dict[str, str]]:
    """Return every licence that is only referred to, with what its package says of it."""
    texts: dict[str, str] = {}
    for component in components:
        declared = _declared(component)
        texts.update((name, component.license) for name in _REFERENCE.findall(declared))
    return [{"licenseId": name, "extractedText": texts[name]} for name in sorted(texts)]
