"""Print what the image is made of, as a CycloneDX 1.6 document; ``Dockerfile`` runs it.

Debian's packages as dpkg knows them, and those of PyPI as their own files say it, with what authors
of wheels say that they have put inside (PEP 770), such as crates of Rust. The same image gives the
same bytes: there is no time in it.
"""

import json
import subprocess
import sys
from importlib.metadata import Distribution, PackageMetadata, distributions, version
from typing import Any
from urllib.parse import quote

_DPKG = (
    "dpkg-query",
    "--show",
    "--showformat=${Package}\t${Version}\t${Architecture}\t${db:Status-Status}\n",
)


def debian_components() -> list[dict[str, Any]]:
    """Return Debian's packages, with the addresses by which scanners find advisories."""
    answer = subprocess.run(_DPKG, check=True, capture_output=True, text=True)
    components = []
    for line in answer.stdout.splitlines():
        name, number, architecture, status = line.split("\t")
        if status != "installed":
            continue
        # A plus is a blank to some who read addresses.
        purl = f"pkg:deb/debian/{quote(name)}@{quote(number)}?arch={architecture}&distro=bookworm"
        components.append({"bom-ref": purl, "name": name, "version": number, "purl": purl})
    return components


def python_components() -> list[dict[str, Any]]:
    """Return the packages beside this program, with their licences."""
    components = []
    for distribution in distributions(path=[path for path in sys.path if "site-packages" in path]):
        name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        purl = f"pkg:pypi/{name}@{quote(distribution.version)}"
        components.append(
            {
                "bom-ref": purl,
                "name": name,
                "version": distribution.version,
                "purl": purl,
                "licenses": licences(distribution.metadata),
                "components": inner_components(distribution, purl),
            }
        )
    return components


def inner_components(distribution: Distribution, outer: str) -> list[dict[str, Any]]:
    """Return what the bills of materials of a wheel name; each reference begins with ``outer``."""
    files = [file for file in distribution.files or () if file.parent.name == "sboms"]
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(files)]
    inner = {
        part["purl"]: {
            "type": "library",
            "bom-ref": f"{outer}#{part['purl']}",
            "name": part["name"],
            "version": part["version"],
            "purl": part["purl"],
        }
        for document in documents
        # Those in SPDX are few, and written otherwise.
        if document.get("bomFormat") == "CycloneDX"
        for part in document.get("components", ())
        if "purl" in part and "version" in part
    }
    return [inner[purl] for purl in sorted(inner)]


def licences(metadata: PackageMetadata) -> list[dict[str, Any]]:
    """Return what a package says of its licence: an expression, a name, or classifiers."""
    if "License-Expression" in metadata:
        return [{"expression": metadata["License-Expression"]}]
    name = str(metadata["License"] or "")
    # Some have the whole text there.
    if name and len(name) <= 80 and "\n" not in name:
        return [{"license": {"name": name}}]
    classifiers = metadata.get_all("Classifier") or []
    names = [
        line.rpartition(" :: ")[2]
        for line in classifiers
        if line.startswith("License ::") or line.endswith("Public Domain")
    ]
    return [{"license": {"name": name}} for name in names]


def document() -> dict[str, Any]:
    """Return the bill of materials."""
    parts = {part["bom-ref"]: part for part in [*debian_components(), *python_components()]}
    own = next(ref for ref in parts if ref.startswith("pkg:pypi/pullforge@"))
    del parts[own]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": own,
                "name": "pullforge",
                "version": version("pullforge"),
            }
        },
        "components": [{"type": "library", **parts[ref]} for ref in sorted(parts)],
        "dependencies": [{"ref": own, "dependsOn": sorted(parts)}],
    }


if __name__ == "__main__":
    print(json.dumps(document(), indent=1))  # noqa: T201
