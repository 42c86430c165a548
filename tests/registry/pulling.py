"""Pulling without a client: what faces ask of the sources."""

from builder.build.image import Flavour
from builder.oci.digest import Digest
from registry.content.manifests import Manifest
from registry.content.names import RepositoryName, TagName, parse_repository
from registry.sources.built import BuiltSource
from registry.sources.source import ENVIRONMENTS, JsonDescriptor, Reference
from registry.web.services import Services

WAIT_SECONDS = 60.0


def built(services: Services) -> BuiltSource:
    """Return the source of images that are built here."""
    source = services.sources.of(ENVIRONMENTS)
    assert isinstance(source, BuiltSource)
    return source


def reference(repository: str, tag: str, flavour: Flavour = "oci-zstd") -> Reference:
    """Return a reference, also of a name that faces refuse."""
    return Reference(RepositoryName(repository), TagName(tag), flavour)


async def pull(
    services: Services,
    repository: str,
    tag: str,
    flavour: Flavour = "oci-zstd",
    wait: float = WAIT_SECONDS,
) -> Manifest:
    """Return the index or manifest behind a tag."""
    asked = reference(repository, tag, flavour)
    return await services.sources.of(repository).resolve(asked, index=True, timeout_seconds=wait)


async def tags(services: Services, repository: str) -> list[str]:
    page, more = await services.sources.of(repository).tags(parse_repository(repository), "", 1000)
    assert not more
    return page


async def referrers(
    services: Services, repository: str, digest: Digest, wait: float = WAIT_SECONDS
) -> list[JsonDescriptor]:
    """Return the descriptors of what refers to a manifest."""
    source, name = services.sources.of(repository), parse_repository(repository)
    found, more = await source.referrers(name, digest, "", "", timeout_seconds=wait)
    assert not more
    return found
