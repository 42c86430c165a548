"""From a lock to an image whose every blob is in the store.

::

    lock ─┬─ base      ── fetched into the store
          ├─ contents  ── what each package installs (kept: a known package is not downloaded)
          ├─ plan      ── conflicts resolved, packages grouped into layers
          ├─ layers    ── looked up by key, else assembled by workers, one task a layer
          └─ documents ── config, manifest of each platform, index
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from builder.base_image import BaseImages
from builder.bytecode import Compiler, SandboxKind
from builder.compilers import Compilers
from builder.conflicts import InstalledPaths, resolve_conflicts
from builder.contents_cache import ContentsCache
from builder.flight import together
from builder.grouping import group
from builder.image import (
    Document,
    EnvironmentLayers,
    Flavour,
    image_config,
    image_index,
    image_manifest,
)
from builder.install.contents import PackageContents, installed_links, installed_paths
from builder.keys import blob_key
from builder.layer import Encoding, LayerPlan, PythonTarget
from builder.layer_cache import LayerCache
from builder.lock import Lock
from builder.platforms import PLATFORMS, Subdir
from builder.ports import Progress, ProgressListener, Stage, Store
from builder.records import PackageRecord, link_order

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image in one flavour; all its documents and layers are in the store."""

    #: The manifest of each platform, in the order of the lock.
    manifests: dict[Subdir, Document]
    #: Set when there is more than one platform.
    index: Document | None

    @property
    def top(self) -> Document:
        """What stands for the whole image: the index, or the only manifest."""
        return self.index or next(iter(self.manifests.values()))


class Pipeline:
    """Builds images from locks. Every method may be cancelled; work shared with others goes on."""

    def __init__(
        self,
        store: Store,
        bases: BaseImages,
        contents: ContentsCache,
        layers: LayerCache,
        compilers: Compilers,
        sandbox: SandboxKind,
    ) -> None:
        self._store = store
        self._bases = bases
        self._contents = contents
        self._layers = layers
        self._compilers = compilers
        self._sandbox = sandbox

    async def build(self, lock: Lock, flavour: Flavour, listen: ProgressListener) -> BuiltImage:
        """Return the image of ``lock``; a pure function of the lock and the flavour.

        What exists already is not made again.

        Raises:
            PackageError: A package cannot be had, is damaged or is refused.
            BytecodeError: A package cannot be compiled.
            BaseImageError: The base cannot be had.
            WorkerLost: An assembling process died.
        """
        manifests: dict[Subdir, Document] = {}
        for subdir in lock.platforms:
            manifests[subdir] = await self._build_platform(lock, subdir, flavour, listen)
        index = None
        if len(manifests) > 1:
            pairs = [(PLATFORMS[subdir], document) for subdir, document in manifests.items()]
            index = image_index(pairs, lock.key, flavour)
            await self._keep(index)
        return BuiltImage(manifests, index)

    async def _build_platform(
        self, lock: Lock, subdir: Subdir, flavour: Flavour, listen: ProgressListener
    ) -> Document:
        listen(Progress("base"))
        platform = PLATFORMS[subdir]
        base = await self._bases.fetch(lock.base, platform) if lock.base else None
        layers = await self._layers_of(lock, subdir, flavour, listen)
        listen(Progress("finish"))
        config = image_config(layers, base)
        manifest = image_manifest(layers, base, config, lock.key, flavour)
        await self._keep(config)
        await self._keep(manifest)
        return manifest

    async def _layers_of(
        self, lock: Lock, subdir: Subdir, flavour: Flavour, listen: ProgressListener
    ) -> EnvironmentLayers:
        records = link_order(lock.platforms[subdir])
        contents = await _all(
            [self._contents.get(record) for record in records], "download", listen
        )
        listen(Progress("plan"))
        python = _python_target(records, lock.bytecode.get(subdir))
        plans = _plan(records, contents, python)
        encoding: Encoding = "zstd" if flavour == "oci-zstd" else "gzip"
        # What takes longest starts first, so that no worker waits for one late large layer.
        order = sorted(range(len(plans)), key=lambda at: _effort(plans[at]), reverse=True)
        made = await _all(
            [
                self._layers.ensure(plans[at], encoding, partial(self._compiler, lock, plans[at]))
                for at in order
            ],
            "assemble",
            listen,
        )
        blobs = dict(zip(order, made, strict=True))
        return EnvironmentLayers(
            platform=PLATFORMS[subdir],
            blobs=tuple(blobs[at] for at in range(len(plans))),
            contents=tuple(
                tuple(f"{p.record.name} {p.record.version}" for p in plan.packages)
                for plan in plans
            ),
            variables={
                name: value for known in contents for name, value in sorted(known.variables.items())
            },
            skipped_scripts=tuple(
                sorted(
                    f"{script} ({known.label})"
                    for known in contents
                    for script in known.skipped_scripts
                )
            ),
            newest_ms=max((record.timestamp_ms or 0 for record in records), default=0),
        )

    async def _compiler(self, lock: Lock, plan: LayerPlan) -> Compiler | None:
        if plan.python is None:
            return None
        prefix = await self._compilers.python(lock, plan.python.version)
        kept = prefix.with_name(f"{prefix.name}-bytecode")
        return Compiler(prefix, plan.python, self._sandbox, kept)

    async def _keep(self, document: Document) -> None:
        await self._store.write(blob_key(document.digest), document.data)


def _plan(
    records: Sequence[PackageRecord],
    contents: Sequence[PackageContents],
    python: PythonTarget | None,
) -> tuple[LayerPlan, ...]:
    installed = {
        record.sha256: InstalledPaths(
            installed_paths(known, python), installed_links(known, python)
        )
        for record, known in zip(records, contents, strict=True)
    }
    return group(resolve_conflicts(records, installed), python)


def _effort(plan: LayerPlan) -> tuple[bool, int]:
    """Return what layers are sorted by for the time they take: compiling takes longest."""
    return plan.python is not None, sum(package.record.size_bytes for package in plan.packages)


def _python_target(records: Sequence[PackageRecord], bytecode: str | None) -> PythonTarget | None:
    """Return what noarch packages are installed for, if the environment has Python."""
    for record in records:
        if record.name == "python":
            short = ".".join(record.version.split(".")[:2])
            site_packages = record.python_site_packages_path or f"lib/python{short}/site-packages"
            return PythonTarget(bytecode or record.version, site_packages)
    return None


async def _all(
    work: Sequence[Awaitable[Result]], stage: Stage, listen: ProgressListener
) -> list[Result]:
    """Wait for all of ``work`` and tell how far it is."""
    done = 0

    async def counted(one: Awaitable[Result]) -> Result:
        nonlocal done
        result = await one
        done += 1
        listen(Progress(stage, done, len(work)))
        return result

    listen(Progress(stage, 0, len(work)))
    return await together(counted(one) for one in work)
