"""What versions consist of: their packages and layers, and which environments have a package."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp

from builder.errors import LockError
from builder.platforms import Subdir
from registry.catalog.contents import Compared, Contents, InstalledPackage
from registry.catalog.package_users import PackageUser
from registry.catalog.records import Version
from registry.catalog.told import policies_told
from registry.errors import VersionNotBuilt
from registry.images.image_layers import ImageLayer, LayeredImage
from registry.requests.wanted import Wanted
from registry.web.api import content_documents as documents
from registry.web.api.answers import answer, page_links, pull_host
from registry.web.api.catalog_documents import environment_path, time_or_none, version_path
from registry.web.api.endpoints import Call
from registry.web.api.models import (
    LayersQuery,
    NoBody,
    PackageUsersQuery,
    VersionPackagesQuery,
    is_on,
)

#: The name at the beginning of a sentence on what was added; a channel may stand before it.
_ADDED: Final = re.compile(r"(?:[^\s:]+::)?([A-Za-z0-9_.-]+)")


async def get_version_packages(call: Call[VersionPackagesQuery, NoBody]) -> ASGIApp:
    """List the packages of a version, beside what was asked for."""
    query, number = call.query, call.number()
    version = await call.catalog.versions.get(*call.place, number)
    await _require_had(call, version)
    wanted = await call.request.state["services"].builds.wanted.of(
        version.specification, lambda: call.catalog.versions.specification(*call.place, number)
    )
    added = _added(version)
    names = {one.name for one in wanted.packages} | set(added)
    contents = await call.catalog.contents.packages(
        *call.place,
        number,
        platform=query.platform,
        search=query.search,
        among=names if is_on(query.requested) else None,
        has_advisory=is_on(query.advisories),
        named=names,
        after=query.after,
        limit=query.limit,
    )
    requested = {(one.manager, one.name) for one in wanted.packages}
    document: documents.PackagePage = {
        "environment": "/".join(call.place),
        "version": number,
        "key": version.key or "",
        "platform": contents.platform,
        "platforms": list(contents.platforms),
        "packages": contents.packages,
        "size_bytes": contents.size_bytes,
        "asked_by": wanted.kind,
        "requested": _requested(wanted, added, contents),
        "licences": [
            {"licence": licence, "packages": count} for licence, count in contents.licences
        ],
        "items": [
            _package(one, (one.manager, one.name) in requested, added.get(one.name))
            for one in contents.items
        ],
        "next": contents.next,
    }
    return answer(200, document, page_links(call, contents.next))


async def get_version_layers(call: Call[LayersQuery, NoBody]) -> ASGIApp:
    """Tell the layers of a version's image, and what a node fetches that has the one before."""
    number, builds = call.number(), call.request.state["services"].builds
    version = await call.catalog.versions.get(*call.place, number)
    await _require_had(call, version)
    compared = await call.catalog.contents.compared(*call.place, number, call.query.before)
    images = await builds.layers.of(compared.key)
    platform, image = _chosen(images, call.query.platform)
    if images and image is None:
        path = "/".join(call.place)
        raise LockError(
            f"version {number} of '{path}' is for {', '.join(images)}, and not for {platform}"
        )
    before = await _digests_before(call, compared, platform)
    fetched = _fetched(compared, image, before)
    document: documents.LayersDocument = {
        "environment": "/".join(call.place),
        "version": number,
        "key": compared.key,
        "platform": platform or call.query.platform or "",
        "platforms": list(images),
        "image": f"{pull_host(call.request)}/{'/'.join(call.place)}:v{number}",
        "is_there": image is not None and await builds.layers.is_there(image),
        "digest": image.digest if image is not None else None,
        "size_bytes": image.size_bytes if image is not None else 0,
        "layers": [_layer(one, before) for one in image.layers] if image is not None else [],
        "fetched": fetched,
    }
    return answer(200, document)


async def get_package_environments(call: Call[PackageUsersQuery, NoBody]) -> ASGIApp:
    """List the environments that you may see whose active version has a package."""
    query, package = call.query, call.field("package")
    found = await call.catalog.packages.users(
        call.visible,
        package,
        condition=query.version,
        manager=query.manager,
        namespace=query.namespace,
        search=query.search,
        after=query.after,
        limit=query.limit,
    )
    host = pull_host(call.request)
    document: documents.PackageUserPage = {
        "package": package,
        "versions": list(found.versions),
        "items": [_user(one, host) for one in found.items],
        "next": found.next,
    }
    return answer(200, document, page_links(call, found.next))


async def _require_had(
    call: Call[VersionPackagesQuery, NoBody] | Call[LayersQuery, NoBody], version: Version
) -> None:
    """Return if there is a build of a version, and one may have it.

    Raises:
        VersionNotBuilt: There is none.
        BuildBlocked: An administrator keeps it from everybody.
    """
    if version.key is None:
        path = "/".join(call.place)
        raise VersionNotBuilt(
            f"version {version.number} of '{path}' is {version.state}: there is no build of it"
        )
    await call.request.state["services"].builds.locked.blocked.require(version.key)


def _added(version: Version) -> Mapping[str, str]:
    """Return by name the sentence on each package that a policy added.

    A sentence begins with what is added, e.g. ``"tzdata >=2025 is added by policy 'company'"``.
    """
    found: dict[str, str] = {}
    for sentence in policies_told(version.told).added:
        name = _ADDED.match(sentence)
        if name is not None:
            found.setdefault(name[1].lower(), sentence)
    return found


def _requested(
    wanted: Wanted, added: Mapping[str, str], contents: Contents
) -> list[documents.RequestedDocument]:
    """Return what was asked for beside what came of it, and what policies added."""
    asked = [(one.manager, one.name, one.spec) for one in wanted.packages]
    names = {name for manager, name, _ in asked if manager == "conda"}
    rows: list[documents.RequestedDocument] = []
    for manager, name, spec in asked:
        there = contents.named.get((manager, name))
        rows.append(
            {
                "manager": manager,
                "name": name,
                "spec": spec,
                "version": there.version if there is not None else None,
                "build": (there.build or None) if there is not None else None,
                "because": added.get(name) if manager == "conda" else None,
            }
        )
    for name, sentence in added.items():
        there = contents.named.get(("conda", name))
        if name not in names and there is not None:
            rows.append(
                {
                    "manager": "conda",
                    "name": name,
                    "spec": sentence.partition(" is added")[0],
                    "version": there.version,
                    "build": there.build or None,
                    "because": sentence,
                }
            )
    return rows


def _package(
    one: InstalledPackage, is_requested: bool, because: str | None
) -> documents.PackageDocument:
    return {
        "manager": one.manager,
        "name": one.name,
        "version": one.version,
        "build": one.build or None,
        "channel": one.channel or None,
        "size_bytes": one.size_bytes,
        "licence": one.licence,
        "published_at": time_or_none(one.published_at),
        "is_requested": is_requested,
        "added_because": because if one.manager == "conda" else None,
        "advisories": [
            {
                "id": found.advisory,
                "sentence": found.sentence,
                "fixed_in": found.fixed_in or None,
                "policy": found.policy,
                "mode": found.mode,
            }
            for found in one.findings
            if found.advisory
        ],
        "findings": [
            {
                "kind": found.kind,
                "sentence": found.sentence,
                "policy": found.policy,
                "mode": found.mode,
            }
            for found in one.findings
            if not found.advisory
        ],
    }


def _chosen(
    images: Mapping[Subdir, LayeredImage], platform: Subdir | None
) -> tuple[Subdir | None, LayeredImage | None]:
    """Return the platform that is asked for, or the first, with its image."""
    found = platform if platform is not None else next(iter(images), None)
    return found, images.get(found) if found is not None else None


async def _digests_before(
    call: Call[LayersQuery, NoBody], compared: Compared, platform: Subdir | None
) -> frozenset[str]:
    """Return what the image before consists of: by its rows, or by its documents."""
    if compared.before_digests or compared.before_key is None or platform is None:
        return compared.before_digests
    images = await call.request.state["services"].builds.layers.of(compared.before_key)
    return frozenset(images[platform].digests) if platform in images else frozenset()


def _fetched(
    compared: Compared, image: LayeredImage | None, before: frozenset[str]
) -> documents.FetchedDocument | None:
    if compared.before is None:
        return None
    if image is None or not before:
        return {"version": compared.before, "bytes": None, "layers": None}
    new = {one.digest for one in image.layers if one.digest not in before}
    size_bytes = image.bytes_beyond(before)
    return {"version": compared.before, "bytes": size_bytes, "layers": len(new)}


def _layer(one: ImageLayer, before: frozenset[str]) -> documents.LayerDocument:
    return {
        "digest": one.digest,
        "size_bytes": one.size_bytes,
        "kind": "base" if one.is_base else "packages",
        "packages": list(one.packages),
        "is_new": one.digest not in before if before else None,
    }


def _user(one: PackageUser, host: str) -> documents.PackageUser:
    environment = one.environment
    place = (environment.namespace, environment.slug)
    active = environment.active or 0
    return {
        "environment": environment.path,
        "namespace": environment.namespace,
        "name": environment.name,
        "owner": one.owner,
        "created_by": environment.created_by,
        "active": active,
        "manager": one.manager,
        "version": one.version,
        "build": one.build or None,
        "platforms": list(one.platforms),
        "advisories": one.advisories,
        "image": f"{host}/{environment.path}",
        "links": {
            "environment": environment_path(*place),
            "version": version_path(*place, active),
        },
    }
