"""A service over a real store, with pulls that do as they are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from starlette.applications import Starlette

from builder.build.image import Flavour
from builder.keys import blob_key
from builder.oci.digest import Digest, digest_of
from builder.oci.models import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.ports import Progress
from registry.app import create_app
from registry.auth.access import Access
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy, Policy
from registry.auth.rights import Need
from registry.content.blobs import Blobs
from registry.content.manifests import Manifest, Manifests
from registry.content.pushed_blobs import PushedBlobs
from registry.content.referrers import Referrers
from registry.content.repositories import Repositories
from registry.content.uploads import Uploads
from registry.errors import NameUnknown, StillBuilding
from registry.storage.filesystem import FilesystemStore
from registry.storage.probe import check_store
from registry.telemetry import Metrics
from registry.web.services import BuildServices, ReadinessCheck, Services

#: The largest blob that the house takes.
MAX_BLOB_BYTES = 8 * 1024 * 1024


class FakePulls:
    """Knows the repositories below ``env/``; implements :class:`registry.sources.built.Pulls`."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests
        #: What ``by_tag`` raises, by tag.
        self.errors: dict[str, Exception] = {}
        #: How often ``by_tag`` still says that it is building, by tag.
        self.rounds: dict[str, int] = {}
        #: While this is clear, ``by_tag`` of the tag ``hangs`` waits.
        self.released = asyncio.Event()
        #: How many calls wait now, and whether that are ``expected``.
        self.waiting = 0
        self.expected = 0
        self.all_wait = asyncio.Event()
        self.known_tags: tuple[str, ...] = ()
        #: Digests that belong to no image made here.
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

    def is_generated(self, repository: str) -> bool:
        return repository.startswith("env/")

    async def by_tag(
        self, repository: str, tag: str, flavour: Flavour, *, index: bool, timeout_seconds: float
    ) -> Manifest:
        self.timeouts.add(timeout_seconds)
        if tag in self.errors:
            raise self.errors[tag]
        if self.rounds.get(tag, 0) > 0:
            self.rounds[tag] -= 1
            raise StillBuilding(Progress("download", 3, 35))
        if tag == "hangs":
            await self._hang()
        return await put(self._manifests, manifest_data(repository, flavour, index=index))

    def tag_at_hand(
        self, repository: str, tag: str, flavour: Flavour, *, index: bool
    ) -> Manifest | None:
        return self.at_hand.get((repository, tag, flavour, index))

    def digest_at_hand(self, digest: Digest) -> Manifest | None:
        return None if digest in self.not_made else self._manifests.at_hand(digest)

    async def tags(self, repository: str) -> tuple[str, ...]:
        if not self.known_tags:
            raise NameUnknown(f"'{repository}' was never pulled")
        return self.known_tags

    async def made(self, digest: Digest) -> bool:
        return digest not in self.not_made

    async def restore(self, digest: Digest, *, timeout_seconds: float) -> bool:
        if self.restore_rounds > 0:
            self.restore_rounds -= 1
            raise StillBuilding(Progress("assemble", 1, 9))
        if digest not in self.lost:
            return False
        await put(self._manifests, self.lost[digest])
        return True

    async def referrers(
        self, repository: str, digest: Digest, *, timeout_seconds: float
    ) -> Sequence[Descriptor]:
        if isinstance(self.referrer_error, Exception):
            raise self.referrer_error
        return self.artifacts.get(digest, ())

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
        self.pulls = FakePulls(self.manifests)
        self.metrics = Metrics()
        #: The API has its tests on a real service.
        self.builds = cast("BuildServices", None)
        self.checks: dict[str, ReadinessCheck] = {"store": lambda: check_store(store)}
        #: Who may do what: everybody everything, unless a test is about that.
        self.access = Access(FixedPolicy(Everything()), Logins())
        self.public_url: str | None = None
        #: How often the services were opened, and how often closed.
        self.opened = self.closed = 0

    def app(self, *, redirect_after_seconds: float = 19, access_log: bool = True) -> Starlette:
        return create_app(
            self._open, redirect_after_seconds=redirect_after_seconds, access_log=access_log
        )

    async def put_blob(self, data: bytes) -> Digest:
        digest = digest_of(data)
        await self.store.write(blob_key(digest), data)
        return digest

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Services]:
        self.opened += 1
        yield Services(
            self.pulls,
            self.manifests,
            self.blobs,
            self.repositories,
            self.pushed_blobs,
            Referrers(self.store),
            self.uploads,
            self.metrics,
            self.builds,
            self.access,
            self.checks,
            self.public_url,
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
