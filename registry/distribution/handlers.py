"""What each address of the protocol answers; errors are raised, and told by the face."""

import bisect
import re
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Receive, Scope

from builder.oci.digest import Digest, is_digest, parse_digest
from builder.oci.models import OCI_INDEX, ImageIndex, dump
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName, TagName, parse_repository, parse_tag
from registry.distribution.client import wanted_by
from registry.distribution.paths import Target
from registry.errors import NameUnknown, PageInvalid, StillBuilding, UploadUnknown
from registry.web.answer import Answer, HeaderLines, header, json_answer
from registry.web.download import Download, answer_download
from registry.web.gone import unless_gone
from registry.web.headers import RequestHeaders
from registry.web.ranges import is_not_modified
from registry.web.services import Services
from registry.web.waiting import wait_answer

#: What a digest stands for never changes.
_FOR_EVER: Final = (b"cache-control", b"public, max-age=31536000, immutable")
#: What a tag stands for may: caches must ask. And it depends on who asks.
_ASK_AGAIN: Final = (b"cache-control", b"no-cache")
_VARY: Final = (b"vary", b"Accept, User-Agent")
#: How long a request waits for artifacts that are being made: engines give up after 30 s.
_REFERRERS_SECONDS: Final = 19
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read."""

    scope: Scope
    receive: Receive
    target: Target
    headers: RequestHeaders
    services: Services


async def get_api(_call: Call) -> ASGIApp:
    """Say that this is a registry. Never waits for anything: docker gives it 15 s."""
    return json_answer(200, {}, [header("docker-distribution-api-version", "registry/2.0")])


async def get_manifest(call: Call, *, hop_seconds: float) -> ASGIApp:
    """Answer a manifest or index, by digest as it is stored, by tag as the client can take it.

    Source:
        distribution-spec, "Pulling manifests".
    """
    repository, reference = parse_repository(call.target.name), call.target.reference
    if is_digest(reference):
        digest = parse_digest(reference)
        await _require_readable(call.services, repository, digest)
        manifest = await call.services.manifests.get(digest)
        return _manifest_answer(call, manifest, [_FOR_EVER])
    tag = parse_tag(reference)
    if not call.services.pulls.is_generated(repository):
        raise _unknown(repository)
    try:
        manifest = await _pull(call, repository, tag, hop_seconds)
    except StillBuilding as error:
        return wait_answer(tag, call.scope["query_string"], error)
    return _manifest_answer(call, manifest, [_ASK_AGAIN, _VARY])


async def get_blob(call: Call) -> ASGIApp:
    """Answer a blob, or the part of it that is asked for, or where the client can get it.

    Source:
        distribution-spec, "Pulling blobs".
    """
    repository = parse_repository(call.target.name)
    digest = parse_digest(call.target.reference)
    await _require_readable(call.services, repository, digest)
    blobs = call.services.blobs
    file = Download(
        size_bytes=await blobs.size(digest),
        etag=f'"{digest}"',
        media_type="application/octet-stream",
        about=[header("docker-content-digest", digest)],
        caching=_FOR_EVER,
        link=partial(blobs.link, digest),
        open=partial(blobs.open, digest),
    )
    return await answer_download(call.scope["method"], call.headers, file)


async def list_tags(call: Call) -> ASGIApp:
    """Answer the tags of a repository, or ``n`` of them after ``last``.

    Source:
        distribution-spec, "Listing Tags".
    """
    repository = parse_repository(call.target.name)
    if not call.services.pulls.is_generated(repository):
        raise _unknown(repository)
    query = dict(parse_qsl(call.scope["query_string"].decode("latin-1"), keep_blank_values=True))
    limit = _limit_of(query)
    tags = sorted(await call.services.pulls.tags(repository))
    rest = tags[bisect.bisect_right(tags, query["last"]) :] if "last" in query else tags
    page = rest[:limit]
    lines: HeaderLines = [_ASK_AGAIN]
    if page and len(page) < len(rest):
        more = urlencode({"n": limit, "last": page[-1]})
        # containers/image takes the path of this as it is: it has to be an absolute one.
        lines.append(header("link", f'</v2/{repository}/tags/list?{more}>; rel="next"'))
    return json_answer(200, {"name": repository, "tags": page}, lines)


async def list_referrers(call: Call) -> ASGIApp:
    """Answer what refers to a manifest; an empty index where nothing does.

    Never 404, as the specification demands.

    Source:
        distribution-spec, "Listing Referrers".
    """
    digest = parse_digest(call.target.reference)
    repository = parse_repository(call.target.name)
    work = call.services.pulls.referrers(repository, digest, timeout_seconds=_REFERRERS_SECONDS)
    found = await unless_gone(call.receive, work)
    query = parse_qsl(call.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    wanted = {value for name, value in query if name == "artifactType"}
    lines = [_ASK_AGAIN]
    if wanted:
        lines.append(header("oci-filters-applied", "artifactType"))
        found = [one for one in found if one.artifact_type in wanted]
    return Answer(
        200, [header("content-type", OCI_INDEX), *lines], dump(ImageIndex(manifests=list(found)))
    )


async def get_upload(call: Call) -> ASGIApp:
    """Answer that there is no such upload, since there are none."""
    parse_repository(call.target.name)
    raise UploadUnknown("there are no uploads: this registry makes its images itself")


async def _pull(
    call: Call, repository: RepositoryName, tag: TagName, hop_seconds: float
) -> Manifest:
    """Return the manifest behind a tag, as the client can take it; stop waiting when it goes."""
    wanted = wanted_by(call.headers)
    work = call.services.pulls.by_tag(
        repository, tag, wanted.flavour, index=wanted.index, timeout_seconds=hop_seconds
    )
    return await unless_gone(call.receive, work)


async def _require_readable(services: Services, repository: RepositoryName, digest: Digest) -> None:
    """Return if ``digest`` may be read through ``repository``.

    Raises:
        NameUnknown: The repository is none of ours, and holds no such thing either.
    """
    pulls = services.pulls
    if not pulls.is_generated(repository) and not await pulls.holds(repository, digest):
        raise _unknown(repository)


def _manifest_answer(call: Call, manifest: Manifest, caching: HeaderLines) -> Answer:
    etag = f'"{manifest.digest}"'
    lines = [header("docker-content-digest", manifest.digest), header("etag", etag), *caching]
    if manifest.build is not None and call.services.pulls.is_generated(call.target.name):
        lines.append(header("pullforge-build", manifest.build))
    if is_not_modified(call.headers, etag):
        return Answer(304, lines)
    lines.append(header("content-type", manifest.media_type))
    return Answer(200, lines, manifest.data)


def _limit_of(query: dict[str, str]) -> int | None:
    """Return how many tags are asked for, or ``None`` for all.

    Raises:
        PageInvalid: It is not a number.
    """
    if "n" not in query:
        return None
    if not _NUMBER.fullmatch(query["n"]):
        raise PageInvalid("'n' says how many tags to list: a number of at most nine digits")
    return int(query["n"])


def _unknown(repository: RepositoryName) -> NameUnknown:
    return NameUnknown(
        f"there is no repository '{repository}': images are named after the conda packages they"
        " are made of, for example 'env/numpy' or 'env/python.3.12.numpy.pandas'"
    )
