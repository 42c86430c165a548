"""Manifests: pulling, pushing and deleting them."""

from functools import partial
from typing import Any, Final

from starlette.types import ASGIApp

from builder.oci.digest import is_digest, parse_digest
from registry.content.manifests import MAX_MANIFEST_BYTES, Manifest
from registry.content.names import TagName, parse_tag
from registry.errors import ManifestInvalid, ManifestUnknown, NameUnknown, StillBuilding, TagInvalid
from registry.sources.source import Reference
from registry.web.access import for_account
from registry.web.asgi.body import read_body
from registry.web.asgi.disconnect import cancel_on_disconnect
from registry.web.asgi.ranges import is_not_modified
from registry.web.asgi.responses import BytesResponse, RawHeaders, header
from registry.web.asgi.waiting import waiting_redirect
from registry.web.distribution.authorize import authorize
from registry.web.distribution.client import negotiate
from registry.web.distribution.request import IMMUTABLE, REVALIDATE, RegistryRequest, digest_lines
from registry.web.noting import note_change

#: What a tag of an image built here stands for may change, and depends on who asks.
BUILT_BY_TAG: Final = [REVALIDATE, (b"vary", b"Accept, User-Agent")]
#: How many tags one push may set.
_MAX_TAGS: Final = 100


async def get_manifest(call: RegistryRequest, *, redirect_after_seconds: float) -> ASGIApp:
    """Answer a manifest or index, as it is stored.

    By a tag of an image made here, it is one that the client can take.

    Source: distribution-spec, "Pulling manifests".
    """
    repository, source = call.repository(), call.source
    if is_digest(call.target.reference):
        digest = parse_digest(call.target.reference)
        return _answer(call, await source.manifest(repository, digest), [IMMUTABLE])
    wanted = negotiate(call.headers)
    reference = Reference(repository, parse_tag(call.target.reference), wanted.flavour)
    resolve = partial(
        source.resolve, reference, index=wanted.index, timeout_seconds=redirect_after_seconds
    )
    try:
        # Nobody waits for a client that has gone; its build goes on.
        manifest = await cancel_on_disconnect(call.receive, for_account(call.scope, resolve))
    except StillBuilding as error:
        return waiting_redirect(reference.tag, call.scope["query_string"], error)
    return _answer(call, manifest, [REVALIDATE] if source.is_writable else BUILT_BY_TAG)


async def put_manifest(call: RegistryRequest) -> ASGIApp:
    """Take a manifest or index, under a tag or a digest, and under the tags of ``?tag=``.

    Source: distribution-spec, "Pushing Manifests".
    """
    repository, reference = call.repository(), call.target.reference
    digest, tags = None, [_pushed_tag(text) for name, text in call.query() if name == "tag"]
    if is_digest(reference):
        digest = parse_digest(reference)
    else:
        tags.insert(0, _pushed_tag(reference))
    if len(tags) > _MAX_TAGS:
        raise ManifestInvalid(f"a manifest gets at most {_MAX_TAGS} tags at once")
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = await read_body(call.receive, "a manifest", MAX_MANIFEST_BYTES)
    # It may have taken long: somebody may have taken the right, or made an environment.
    await authorize(call.scope, call.target)
    before = {tag: await _tagged(call, tag) for tag in tags}
    manifest, document = await call.services.repositories.push(
        repository, data, media_type, digest=digest, tags=tags
    )
    sources = call.services.sources
    if not sources.of(repository).is_writable:  # made while this was written, and was free then
        await call.services.repositories.delete(repository, manifest.digest)
        raise sources.refusal(repository)
    detail = {
        "digest": manifest.digest,
        "before": before,
        "after": dict.fromkeys(tags, manifest.digest),
    }
    note_change(call.scope, "manifest.pushed", repository, detail)
    lines = [
        header("location", f"/v2/{repository}/manifests/{manifest.digest}"),
        header("docker-content-digest", manifest.digest),
    ]
    if document.subject is not None:
        lines.append(header("oci-subject", document.subject))
    if digest is not None and tags:
        lines.append(header("oci-tag", ", ".join(tags)))
    return BytesResponse(201, lines)


async def delete_manifest(call: RegistryRequest) -> ASGIApp:
    """Remove a tag, or a manifest with all its tags.

    Source: distribution-spec, "Deleting tags", "Deleting Manifests".
    """
    repository, reference = call.repository(), call.target.reference
    detail: dict[str, Any]
    if is_digest(reference):
        await call.services.repositories.delete(repository, parse_digest(reference))
        detail = {"digest": reference}
    else:
        tag = parse_tag(reference)
        detail = {"before": {tag: await _tagged(call, tag)}, "after": {tag: None}}
        await call.services.repositories.untag(repository, tag)
    note_change(call.scope, "manifest.deleted", repository, detail)
    return BytesResponse(202, [])


async def _tagged(call: RegistryRequest, tag: TagName) -> str | None:
    """Return what a tag points to before it is changed; ``None``: nothing."""
    try:
        return await call.services.repositories.resolve(call.repository(), tag)
    except (NameUnknown, ManifestUnknown):
        return None


def _pushed_tag(text: str) -> TagName:
    """Return a tag that is to be set; that it cannot be one is the push's fault, not a 404."""
    try:
        return parse_tag(text)
    except TagInvalid as exc:
        raise ManifestInvalid(exc.message) from exc


def whole_manifest(manifest: Manifest, caching: RawHeaders) -> BytesResponse:
    """Return the answer with a manifest, byte for byte, or 304 to those who have it."""
    lines = [*_about(manifest, caching), header("content-type", manifest.media_type)]
    return BytesResponse(200, lines, manifest.data)


def _answer(call: RegistryRequest, manifest: Manifest, caching: RawHeaders) -> BytesResponse:
    if is_not_modified(call.headers, f'"{manifest.digest}"'):
        return BytesResponse(304, _about(manifest, caching))
    call.services.pulls.seen(call.target.name, manifest, call.scope["method"])
    return whole_manifest(manifest, caching)


def _about(manifest: Manifest, caching: RawHeaders) -> RawHeaders:
    lines = [*digest_lines(manifest.digest), *caching]
    if manifest.build is not None:
        lines.append(header("pullforge-build", manifest.build))
    return lines
