"""Makes forms of locks and keeps them in the store."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from builder.build.contents_cache import ContentsCache
from builder.build.image import Flavour
from builder.build.pipeline import Pipeline
from builder.concurrency.single_flight import SingleFlight, together
from builder.errors import StoreUnavailable
from builder.exports.bytecode import write_bytecode
from builder.exports.cyclonedx import to_cyclonedx
from builder.exports.diff import fetched_bytes
from builder.exports.environment_yml import to_environment_yml
from builder.exports.formats import (
    ARCHIVE_TYPE,
    EXPORTS,
    ExportedFile,
    ExportFormat,
    platform_of,
)
from builder.exports.image_tar import tar_documents, write_image_tar
from builder.exports.image_tree import ImageTree, read_manifest, read_tree
from builder.exports.pixi_lock import to_pixi_lock
from builder.exports.provenance import to_provenance
from builder.exports.spdx import to_spdx
from builder.fetch.packages import Packages
from builder.install.portable import assemble_portable
from builder.install.prefix.installation import InstallationPlan, dump_installation
from builder.keys import blob_key, form_digest_key, form_key, package_key
from builder.layer import Encoding
from builder.lock import Lock, to_explicit, to_yaml
from builder.oci.digest import Digest, digest_of, parse_digest
from builder.platforms import PLATFORMS, Subdir
from builder.ports import Progress, ProgressListener, Store, Workers
from builder.records import ArchiveRecord
from builder.system_errors import disk_errors

#: Makes the image of a lock and returns the digest of its index or only manifest; every blob of it
#: is in the store then.
BuildImage = Callable[[Lock, Flavour, ProgressListener], Awaitable[Digest]]

#: How often files are gathered again of which one was evicted meanwhile.
_ATTEMPTS: Final = 3
_LOST: Final = "the store lost a file right after it was made: ask again"
#: The flavour that most engines pull.
_USUAL_FLAVOUR: Final[Flavour] = "oci-zstd"


# Not a lambda, as this is pickled.
def _explicit(lock: Lock, platform: Subdir) -> bytes:
    return to_explicit(lock, platform).encode()


_OF_LOCK: Final[dict[ExportFormat, Callable[[Lock], bytes]]] = {
    "lock": to_yaml,
    "pixi.lock": to_pixi_lock,
}
_OF_PLATFORM: Final[dict[ExportFormat, Callable[[Lock, Subdir], bytes]]] = {
    "explicit": _explicit,
    "environment.yml": to_environment_yml,
}
_BILLS: Final[dict[ExportFormat, Callable[[Lock, Sequence[Subdir], Mapping[str, str]], bytes]]] = {
    "sbom.spdx.json": to_spdx,
    "sbom.cdx.json": to_cyclonedx,
}
_ENCODINGS: Final[dict[ExportFormat, Encoding]] = {
    "archive.tar.gz": "gzip",
    "archive.tar.zst": "zstd",
}
_BYTECODE: Final = "bytecode.tar.zst"
#: Whose digest is kept beside them: whoever fetches one verifies it.
_DIGESTED: Final[frozenset[ExportFormat]] = frozenset({*_ENCODINGS, _BYTECODE, "installation.json"})


#: Has a form put into the store under its key; raises as :meth:`Exports.get`.
MakeForm = Callable[
    [Lock, ExportFormat, Subdir | None, ProgressListener], Coroutine[Any, Any, None]
]


class Exports:
    """Gives every form of a lock; a pure function of the lock, made on the first request.

    Callers that ask at the same time share one task, which goes on when they leave. Forms under way
    are in ``scratch``; ``make`` makes them elsewhere.
    """

    def __init__(
        self,
        store: Store,
        pipeline: Pipeline,
        contents: ContentsCache,
        packages: Packages,
        workers: Workers,
        scratch: Path,
        build: BuildImage,
        make: MakeForm | None = None,
    ) -> None:
        self._make = make or self._make_here
        self._store = store
        self._pipeline = pipeline
        self._contents = contents
        self._packages = packages
        self._workers = workers
        self._scratch = scratch
        self._build = build
        self._flights: SingleFlight[None] = SingleFlight()

    async def get(
        self, lock: Lock, form: ExportFormat, platform: Subdir | None, on_progress: ProgressListener
    ) -> ExportedFile:
        """Return a form of ``lock``, made if it is not in the store.

        Without ``platform`` it is of the whole lock, or of its first platform if the form is of
        one. ``on_progress`` is called if this call makes it.

        Raises:
            LockError: The lock has no such platform.
            PackageError: A package cannot be had, is damaged or is refused.
            BytecodeError: A package cannot be compiled.
            BaseImageError: The base cannot be had.
            WorkerLost: The process that made it died.
            StoreUnavailable: The store cannot be used, or has no room.
        """
        subdir = platform_of(lock, form, platform)
        kind, scope = EXPORTS[form], subdir or "all"
        key = form_key(lock.key, scope, kind.format, form)
        found = await self._kept(key, form)
        if found is None:
            await self._flights.run(key, partial(self._make, lock, form, subdir, on_progress))
            found = await self._kept(key, form)
        if found is None:
            raise StoreUnavailable(_LOST)
        size_bytes, digest = found
        file_name = kind.file_name.format(key=lock.key, platform=scope)
        return ExportedFile(key, size_bytes, kind.media_type, file_name, digest)

    async def read(
        self, lock: Lock, form: ExportFormat, platform: Subdir | None, on_progress: ProgressListener
    ) -> bytes:
        """Return the bytes of a small form: no archive, no image; else as :meth:`get`."""
        file = await self.get(lock, form, platform, on_progress)
        data = await self._store.read(file.key)
        if data is None:
            raise StoreUnavailable(_LOST)
        return data

    async def archive(self, record: ArchiveRecord, on_progress: ProgressListener) -> ExportedFile:
        """Return the archive of a package or wheel, fetched if it is not in the store.

        Raises:
            PackageError: It cannot be had, is damaged or is refused.
            StoreUnavailable: The store cannot be used, or has no room.
        """
        key = package_key(record.sha256)
        size_bytes = await self._store.size(key)
        if size_bytes is None:
            on_progress(Progress("download"))
            await self._packages.archive(record)
            size_bytes = await self._store.size(key)
        if size_bytes is None:
            raise StoreUnavailable(_LOST)
        digest = parse_digest(f"sha256:{record.sha256}")
        return ExportedFile(key, size_bytes, ARCHIVE_TYPE, record.file_name, digest)

    async def tree(self, lock: Lock, flavour: Flavour, on_progress: ProgressListener) -> ImageTree:
        """Return the documents of the lock's image, built if it is not; raises as :meth:`get`."""
        return await read_tree(self._store, lock, await self._build(lock, flavour, on_progress))

    async def fetched_bytes(
        self, a: Lock, b: Lock, on_progress: ProgressListener
    ) -> Mapping[Subdir, int]:
        """Return what a node fetches that has the image of ``a`` and pulls that of ``b``.

        Both are built if they are not in the store, in the usual flavour; raises as :meth:`get`.

        Returns:
            For each platform of ``b``, the bytes of the config and layers that ``a`` does not have.
        """
        old = (await self.tree(a, _USUAL_FLAVOUR, on_progress)).manifests
        new = (await self.tree(b, _USUAL_FLAVOUR, on_progress)).manifests
        found: dict[Subdir, int] = {}
        for subdir, described in new.items():
            before = old.get(subdir)
            manifest = await read_manifest(self._store, before.digest) if before else None
            found[subdir] = fetched_bytes(
                manifest, await read_manifest(self._store, described.digest)
            )
        return found

    async def close(self) -> None:
        """Cancel the running tasks and wait for them to end."""
        await self._flights.close()

    async def _kept(self, key: str, form: ExportFormat) -> tuple[int, Digest | None] | None:
        """Return the size of a form in the store, and the digest of an archive.

        An archive whose digest is gone is made again: the same bytes.
        """
        size_bytes = await self._store.size(key)
        if size_bytes is None or form not in _DIGESTED:
            return None if size_bytes is None else (size_bytes, None)
        digest = await self._store.read(form_digest_key(key))
        return None if digest is None else (size_bytes, parse_digest(digest.decode("ascii")))

    async def _make_here(
        self, lock: Lock, form: ExportFormat, subdir: Subdir | None, on_progress: ProgressListener
    ) -> None:
        key = form_key(lock.key, subdir or "all", EXPORTS[form].format, form)
        if subdir is not None and form in _ENCODINGS:
            await self._make_archive(lock, subdir, _ENCODINGS[form], key, on_progress)
        elif subdir is not None and form == "image.tar":
            await _again(partial(self._try_image_tar, lock, subdir, key, on_progress))
        elif subdir is not None and form == _BYTECODE:
            await _again(partial(self._try_bytecode, lock, subdir, key, on_progress))
        else:
            data = await self._text(lock, form, subdir, on_progress)
            if form in _DIGESTED:
                await self._store.write(form_digest_key(key), digest_of(data).encode())
            await self._store.write(key, data)

    async def _text(
        self, lock: Lock, form: ExportFormat, subdir: Subdir | None, on_progress: ProgressListener
    ) -> bytes:
        """Return a form that is small enough to be held in memory."""
        platforms = [subdir] if subdir else list(lock.platforms)
        if form in _OF_LOCK:
            return await self._workers.run(_OF_LOCK[form], lock)
        if form in _OF_PLATFORM:
            return await self._workers.run(_OF_PLATFORM[form], lock, platforms[0])
        if form in _BILLS:
            licenses = await self._licenses(lock, platforms)
            return await self._workers.run(_BILLS[form], lock, platforms, licenses)
        if form == "installation.json":
            return await self._workers.run(
                dump_installation, await self._installation(lock, platforms[0], on_progress)
            )
        assert form == "provenance", form
        tree = await self.tree(lock, _USUAL_FLAVOUR, on_progress)
        return await self._workers.run(to_provenance, lock, _USUAL_FLAVOUR, tree.descriptors)

    async def _installation(
        self, lock: Lock, subdir: Subdir, on_progress: ProgressListener
    ) -> InstallationPlan:
        planned = await self._pipeline.plan(lock, subdir, on_progress)
        return InstallationPlan(
            lock.key, subdir, planned.packages, planned.installation.python, lock.variables
        )

    async def _licenses(self, lock: Lock, platforms: Sequence[Subdir]) -> dict[str, str]:
        """Return what each archive says its licence is, by sha256."""
        records = {r.sha256: r for platform in platforms for r in lock.platforms[platform]}
        wheels = {w.sha256: w for platform in platforms for w in lock.wheels.get(platform, ())}
        conda = await together(self._contents.get(record) for record in records.values())
        pypi = await together(self._contents.get_wheel(wheel) for wheel in wheels.values())
        licenses = [*(known.license for known in conda), *(known.license for known in pypi)]
        return dict(zip([*records, *wheels], licenses, strict=True))

    async def _make_archive(
        self,
        lock: Lock,
        subdir: Subdir,
        encoding: Encoding,
        key: str,
        on_progress: ProgressListener,
    ) -> None:
        planned = await self._pipeline.plan(lock, subdir, on_progress)
        python = planned.installation.python
        is_compiled = any(layer.python for layer in planned.layers)
        compiler = await self._pipeline.compiler(lock, python if is_compiled else None)
        records = [package.record for package in planned.packages]
        on_progress(Progress("finish"))

        async def work(paths: list[Path]) -> None:
            archives = {r.sha256: path for r, path in zip(records, paths, strict=True)}

            async def write(out: Path) -> None:
                digest = await self._workers.run(
                    assemble_portable,
                    planned.packages,
                    python,
                    lock.variables,
                    archives,
                    encoding,
                    out,
                    self._scratch,
                    compiler,
                )
                # First, so that no archive is there without it.
                await self._store.write(form_digest_key(key), digest.encode())

            await self._adopt(key, write)

        await self._packages.use(records, work)

    async def _try_image_tar(
        self, lock: Lock, subdir: Subdir, key: str, on_progress: ProgressListener
    ) -> None:
        """Write the tar once.

        Raises:
            FileNotFoundError: A blob is gone.
        """
        tree = await self.tree(lock, "oci-gzip", on_progress)
        top = tree.manifests[subdir]
        manifest = await read_manifest(self._store, top.digest)
        documents = tar_documents(top, manifest, PLATFORMS[subdir], lock.key)
        parts = [manifest.config, *manifest.layers]
        blobs = await self._local_blobs([top.digest, *(part.digest for part in parts)])
        await self._adopt(
            key, lambda out: self._workers.run(write_image_tar, blobs, documents, out)
        )

    async def _try_bytecode(
        self, lock: Lock, subdir: Subdir, key: str, on_progress: ProgressListener
    ) -> None:
        """Write the bytecode once.

        Raises:
            FileNotFoundError: A layer is gone.
        """
        planned = await self._pipeline.plan(lock, subdir, on_progress)
        plans = [plan for plan in planned.layers if plan.python is not None]
        blobs = await self._pipeline.layers(lock, plans, "zstd", on_progress)
        paths = await self._local_blobs([blob.digest for blob in blobs])
        layers = [(blob, paths[blob.digest]) for blob in blobs]
        compiled = await asyncio.to_thread(planned.compiled)

        async def write(out: Path) -> None:
            digest = await self._workers.run(write_bytecode, layers, compiled, out, self._scratch)
            await self._store.write(form_digest_key(key), digest.encode())

        on_progress(Progress("finish"))
        await self._adopt(key, write)

    async def _local_blobs(self, digests: Sequence[Digest]) -> dict[Digest, Path]:
        """Return files with the bytes of blobs.

        Raises:
            FileNotFoundError: One is gone.
        """
        found: dict[Digest, Path] = {}
        for digest in digests:
            path = await self._store.local_path(blob_key(digest), self._scratch)
            if path is None:
                raise FileNotFoundError(digest)
            found[digest] = path
        return found

    async def _adopt(self, key: str, write: Callable[[Path], Awaitable[None]]) -> None:
        """Put under ``key`` what ``write`` writes to a file."""
        out = self._scratch / f"form-{secrets.token_hex(8)}"
        try:
            with disk_errors():
                await write(out)
            await self._store.adopt(key, out)
        finally:
            out.unlink(missing_ok=True)


async def _again(work: Callable[[], Awaitable[None]]) -> None:
    """Do work that finds that a blob was evicted: the next try builds it again."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(FileNotFoundError):
            await work()
            return
    await work()
