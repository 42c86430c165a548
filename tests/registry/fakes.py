"""A service over a real store, with pulls that do as they are told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from starlette.applications import Starlette

from builder.build.image import Flavour
from builder.keys import blob_key
from builder.oci.digest import Digest, digest_of
from builder.oci.models import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    dump,
)
from builder.ports import Progress, Workers
from registry.app import create_app
from registry.auth.access import Access
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy, Policy
from registry.auth.rights import Need
from registry.content.blobs import Blobs
from registry.content.manifests import Manifest, Manifests
from registry.content.names import RepositoryName
from registry.content.pushed_blobs import PushedBlobs
from registry.content.referrers import Referrers
from registry.content.repositories import Repositories
from registry.content.uploads import Uploads
from registry.errors import ManifestUnknown, NameUnknown, StillBuilding
from registry.images.blocked import BlockedBuilds
from registry.images.records import ImageRecords
from registry.images.stems import Stems
from registry.images.tag_records import TagRecords
from registry.sources.directory import Directory, Pointer
from registry.sources.environments import EnvironmentSource, StoredPointers
from registry.sources.holdings import Holdings
from registry.sources.pushed import PushedSource
from registry.sources.source import JsonDescriptor, Reference, Sources
from registry.storage.filesystem import FilesystemStore
from registry.storage.probe import check_store
from registry.telemetry import Metrics
from registry.web.services import BuildServices, LoginServices, ReadinessCheck, Services
from tests.registry.accounts import still

#: The largest blob that the house takes.
MAX_BLOB_BYTES = 8 * 1024 * 1024


class FakeBuiltSource:
    """Does as it is told; implements :class:`registry.sources.source.Source`."""

    is_writable = False

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests
        #: What ``resolve`` raises, by tag.
        self.errors: dict[str, Exception] = {}
        #: How often ``resolve`` still says that it is building, by tag.
        self.rounds: dict[str, int] = {}
        #: While this is clear, ``resolve`` of the tag ``hangs`` waits.
        self.released = asyncio.Event()
        #: How many calls wait now, and whether that are ``expected``.
        self.waiting = 0
        self.expected = 0
        self.all_wait = asyncio.Event()
        self.known_tags: tuple[str, ...] = ()
        #: Digests that belong to no image built here.
        self.not_made: set[Digest] = set()
        #: What ``restore`` puts back, and how often it says before that it is building.
        self.lost: dict[Digest, bytes] = {}
        self.restore_rounds = 0
        self.timeouts: set[float] = set()
        #: What can be answered without waiting.
        self.at_hand: dict[tuple[str, str, Flavour, bool], Manifest] = {}
        #: What ``referrers`` returns, by digest, or raises.
        self.artifacts: dict[Digest, Sequence[Descriptor]] = {}
        self.referrer_error: Exception | None = None

    async def resolve(
        self, reference: Reference, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        repository, tag, flavour = reference
        self.timeouts.add(timeout_seconds)
        if tag in self.errors:
            raise self.errors[tag]
        if self.rounds.get(tag, 0) > 0:
            self.rounds[tag] -= 1
            raise StillBuilding(Progress("download", 3, 35))
        if tag == "hangs":
            await self._hang()
        return await put(self._manifests, manifest_data(repository, flavour, index=index))

    def cached(self, reference: Reference, *, index: bool) -> Manifest | None:
        return self.at_hand.get((*reference, index))

    def cached_manifest(self, repository: RepositoryName, digest: Digest) -> Manifest | None:
        return None if digest in self.not_made else self._manifests.at_hand(digest)

    async def manifest(self, repository: RepositoryName, digest: Digest) -> Manifest:
        if digest in self.not_made:
            raise ManifestUnknown(f"there is no manifest {digest} of an image made here")
        return await self._manifests.get(digest)

    async def has_manifest(self, repository: RepositoryName, digest: Digest) -> bool:
        return digest not in self.not_made

    async def has_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        return digest not in self.not_made

    async def want_blob(self, repository: RepositoryName, digest: Digest) -> None:
        pass

    async def tags(
        self, repository: RepositoryName, last: str, limit: int
    ) -> tuple[list[str], bool]:
        if not self.known_tags:
            raise NameUnknown(f"'{repository}' was never pulled")
        rest = [tag for tag in sorted(self.known_tags) if tag > last]
        return rest[:limit], bool(limit) and len(rest) > limit

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        if self.restore_rounds > 0:
            self.restore_rounds -= 1
            raise StillBuilding(Progress("assemble", 1, 9))
        if digest not in self.lost:
            return False
        await put(self._manifests, self.lost[digest])
        return True

    async def referrers(
        self,
        repository: RepositoryName,
        subject: Digest,
        artifact_type: str,
        last: str,
        *,
        timeout_seconds: float,
    ) -> tuple[list[JsonDescriptor], str]:
        if isinstance(self.referrer_error, Exception):
            raise self.referrer_error
        found = self.artifacts.get(subject, ())
        wanted = [one for one in found if artifact_type in {"", one.artifact_type}]
        return [json.loads(dump(one)) for one in wanted], ""

    async def _hang(self) -> None:
        self.waiting += 1
        if self.waiting == self.expected:
            self.all_wait.set()
        try:
            await self.released.wait()
        finally:
            self.waiting -= 1


async def put(manifests: Manifests, data: bytes) -> Manifest:
    """Keep a manifest as what it says it is."""
    return await manifests.put(data, json.loads(data)["mediaType"])


class Everything(Policy):
    """The policy of a server where nobody has to log in."""

    def is_open(self, need: Need) -> bool:
        return True


class FakeService:
    """Everything a request is answered from."""

    def __init__(self, store: FilesystemStore, scratch: Path) -> None:
        self.store = store
        self.manifests = Manifests(store)
        self.blobs = Blobs(store)
        self.repositories = Repositories(store, self.manifests, sparse=False)
        self.pushed_blobs = PushedBlobs(store)
        self.scratch = scratch
        #: Where the store is.
        self.root = scratch.parent / "store"
        self.uploads = Uploads(store, self.pushed_blobs, scratch, max_blob_bytes=MAX_BLOB_BYTES)
        self.pulls = FakeBuiltSource(self.manifests)
        #: Where named environments lead to; a test puts them there.
        self.directory = Directory()
        #: What is written down of images that are built here.
        self.records = ImageRecords(store, cast("Workers", None))
        #: Which builds nobody may have.
        self.blocked = BlockedBuilds(store, self.records, Stems(store, cast("Workers", None)))
        #: Whether the directory is as the catalog is; if not, the store is looked into.
        self.is_followed = True
        self.metrics = Metrics()
        #: The API has its tests on a real service.
        self.builds = cast("BuildServices", None)
        self.checks: dict[str, ReadinessCheck] = {"store": lambda: check_store(store)}
        #: Who may do what: everybody everything, unless a test is about that.
        self.access = Access(FixedPolicy(Everything()), Logins(still))
        self.public_url: str | None = None
        self.login: LoginServices | None = None
        #: How often the services were opened, and how often closed.
        self.opened = self.closed = 0

    def app(self, *, redirect_after_seconds: float = 19, access_log: bool = True) -> Starlette:
        return create_app(
            self._open,
            redirect_after_seconds=redirect_after_seconds,
            access_log=access_log,
            clock=still,
        )

    async def put_blob(self, data: bytes) -> Digest:
        digest = digest_of(data)
        await self.store.write(blob_key(digest), data)
        return digest

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Services]:
        self.opened += 1
        pushed = PushedSource(self.repositories, self.pushed_blobs, Referrers(self.store))
        holdings = Holdings(self.records, TagRecords(self.store), self.manifests)

        def is_followed() -> bool:
            return self.is_followed

        def learn(path: str, pointer: Pointer | None) -> None:
            if pointer is None:
                self.directory.remove(*path.split("/", 1))
            else:
                self.directory.put(pointer)

        yield Services(
            Sources(
                built=self.pulls,
                pushed=pushed,
                named=EnvironmentSource(
                    self.directory,
                    self.pulls,
                    holdings,
                    self.blocked,
                    time.time,
                    is_followed=is_followed,
                ),
                environments=self.directory,
                look=StoredPointers(
                    self.store,
                    is_followed,
                    learn,
                    self.directory.is_namespace,
                    self.directory.put_namespace,
                ).look,
            ),
            self.manifests,
            self.blobs,
            self.repositories,
            self.pushed_blobs,
            self.uploads,
            self.metrics,
            self.builds,
            self.access,
            self.checks,
            self.public_url,
            login=self.login,
        )
        self.closed += 1


def manifest_data(repository: str, flavour: Flavour, *, index: bool) -> bytes:
    """Return a document that tells what was asked for."""
    is_docker = flavour == "docker-gzip"
    media_type = (
        (DOCKER_LIST if index else DOCKER_MANIFEST)
        if is_docker
        else (OCI_INDEX if index else OCI_MANIFEST)
    )
    about = {"repository": repository, "flavour": flavour}
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "annotations": about}).encode()
