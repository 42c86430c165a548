"""What the API answers, as JSON."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from builder.exports import LockDiff, PackageChange
from builder.platforms import Subdir
from registry.images.catalog import Description
from registry.images.inventory import BuiltFlavour
from registry.requests.status import RequestStatus
from registry.web.api.diff_documents import DiffDocument, DiffPackage
from registry.web.api.errors import error_document, failure_status

PREFIX: Final = "/api/v1"

#: The addresses of a build's forms, below that of the build.
FORM_LINKS: Final = (
    "lock",
    "explicit",
    "environment.yml",
    "pixi.lock",
    "archive.tar.gz",
    "archive.tar.zst",
    "image.tar",
    "sbom",
    "provenance",
    "installation.json",
    "bytecode.tar.zst",
)


#: Why is not part of a build: two requests may lead to it that want other things.
_NOT_THERE: Final = (
    'this build has no packages for {0}: a request with \'"platforms": ["{0}"]\' tells why, or'
    " makes a build of its own"
)


def request_path(request: str) -> str:
    """Return the address of a request."""
    return f"{PREFIX}/requests/{request}"


def build_path(key: str) -> str:
    """Return the address of a build."""
    return f"{PREFIX}/builds/{key}"


def status_document(status: RequestStatus) -> dict[str, Any]:
    """Return how far a request is."""
    here = request_path(status.id)
    links = {"self": here, "events": f"{here}/events", "log": f"{here}/log"}
    if status.key is not None:
        links["build"] = build_path(status.key)
    failure = status.failure
    return {
        "id": status.id,
        "state": status.state,
        "progress": status.progress,
        "percent": status.percent,
        "key": status.key,
        "policy": asdict(status.told),
        "error": {**error_document(failure), "status": failure_status(failure)}
        if failure
        else None,
        "links": links,
    }


def build_document(description: Description, host: str) -> dict[str, Any]:
    """Return what is known of a build; ``host``, with its port, serves its images."""
    lock, here = description.lock, build_path(description.lock.key)
    name = f"{host}/build/{lock.key}"
    platforms = {
        subdir: {
            "packages": len(records),
            "wheels": len(lock.wheels.get(subdir, ())),
            "size_bytes": lock.archive_bytes(subdir),
        }
        for subdir, records in lock.platforms.items()
    }
    return {
        "key": lock.key,
        "image": name,
        "images": [_image(image, name) for image in description.images],
        "platforms": platforms,
        "left_out": {subdir: _NOT_THERE.format(subdir) for subdir in description.left_out},
        "channels": {channel.name: channel.url for channel in lock.channels},
        "base": f"{lock.base.name}@{lock.base.digest}" if lock.base else None,
        "pinned": description.is_pinned,
        "links": {
            "self": here,
            "log": f"{here}/log",
            "pin": f"{here}/pin",
            **{form: f"{here}/{form}" for form in FORM_LINKS},
        },
    }


def diff_document(
    before: str, after: str, found: LockDiff, fetched: Mapping[Subdir, int] | None
) -> DiffDocument:
    """Return what changes from one build to another.

    Args:
        before: The key of the one.
        after: The key of the other.
        found: What they differ in.
        fetched: The bytes to pull for each platform; ``None``: they are not known.
    """
    return {
        "before": before,
        "after": after,
        "packages": {
            subdir: [_change(change) for change in changes]
            for subdir, changes in found.packages.items()
        },
        "counts": {
            subdir: dict(Counter(change.direction for change in changes))
            for subdir, changes in found.packages.items()
        },
        "licences": {
            subdir: {"added": list(change.added), "removed": list(change.removed)}
            for subdir, change in found.licences.items()
        },
        "variables": dict(found.variables),
        "base": found.base,
        "fetched_bytes": None if fetched is None else {str(one): fetched[one] for one in fetched},
    }


def _change(change: PackageChange) -> DiffPackage:
    return {
        "manager": change.manager,
        "name": change.name,
        "before": change.before,
        "after": change.after,
        "direction": change.direction,
        "licence_before": change.licence_before,
        "licence_after": change.licence_after,
    }


def _image(image: BuiltFlavour, name: str) -> dict[str, Any]:
    return {
        "flavour": image.flavour,
        "reference": f"{name}@{image.digest}",
        "referrers": f"/v2/{name.partition('/')[2]}/referrers/{image.digest}",
        "platforms": {
            one.platform: {
                "reference": f"{name}@{one.digest}",
                "layers": one.layers,
                "size_bytes": one.size_bytes,
            }
            for one in image.platforms
        },
    }
