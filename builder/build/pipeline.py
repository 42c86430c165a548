"""From a lock to an image whose every blob is in the store.

::

    lock ─┬─ base      ── fetched into the store
          ├─ begin     ── layers as they will probably be planned, while others are fetched
          ├─ contents  ── what each package installs (kept: a known package is not downloaded)
          ├─ plan      ── conflicts resolved, packages grouped into layers
          ├─ layers    ── looked up by key, else assembled by workers, one task a layer
          ├─ activate  ── what activation sets (kept; scripts are run where they need a shell)
          └─ documents ── config, manifest of each platform, index
"""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

from builder.build.activation import ActivationPlan, Prefix
from builder.build.activation_cache import ActivationCache
from builder.build.contents_cache import ContentsCache
from builder.build.image import (
    Document,
    EnvironmentLayers,
    Flavour,
    image_config,
    image_index,
    image_manifest,
    variables_of,
)
from builder.build.interpreters import CompilingPythons
from builder.build.layer_cache import Layers
from builder.build.plan import Installation
from builder.bytecode.compiler import Compiler
from builder.concurrency.single_flight import together
from builder.fetch.base_image import BaseImage, BaseImages
from builder.install.activation import ActivationFile, EnvironmentActivation, in_order
from builder.install.compiled import compiled_paths
from builder.install.contents import PackageContents, installed_links, installed_paths
from builder.install.wheel.contents import WheelContents
from builder.keys import blob_key, lock_key
from builder.layer import Encoding, LayerBlob, LayerPackage, LayerPlan, PythonTarget
from builder.lock import Lock
from builder.platforms import PLATFORMS, Subdir
from builder.ports import Progress, ProgressListener, Stage, Store
from builder.records import ArchiveRecord, PackageRecord

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
        """The document that the tag points to: the index, or the only manifest."""
        return self.index or next(iter(self.manifests.values()))


@dataclass(frozen=True)
class PlannedEnvironment:
    """One platform of a lock, decided down to which layer has which package."""

    installation: Installation
    #: Of each conda package, in the order in which they are linked.
    contents: tuple[PackageContents, ...]
    #: Lowest first.
    layers: tuple[LayerPlan, ...]
    #: Of each wheel.
    wheel_contents: tuple[WheelContents, ...] = ()

    def compiled(self) -> frozenset[str]:
        """Return where the bytecode is that no package brings, relative to the prefix."""
        python = self.installation.python
        if python is None:
            return frozenset()
        contents_of_all: tuple[PackageContents | WheelContents, ...]
        contents_of_all = (*self.contents, *self.wheel_contents)
        known = zip(self.packages, contents_of_all, strict=True)
        found = (compiled_paths(package, contents, python) for package, contents in known)
        return frozenset().union(*found)

    @property
    def variables(self) -> Mapping[str, str]:
        """What packages set without a script."""
        return self._activation.variables

    @cached_property
    def _activation(self) -> EnvironmentActivation:
        files: dict[str, ActivationFile] = {}
        for known, omit in self._with_omitted():  # what is linked later wins
            files.update(
                (path, content) for path, content in known.activation.items() if path not in omit
            )
        return in_order(files)

    def activation(self, lock: Lock, base: BaseImage | None) -> ActivationPlan:
        """Return what is run to know which variables activation sets."""
        below = variables_of(base.config.config) if base else {}
        plan = ActivationPlan(
            self._activation.scripts,
            Prefix((), {}, ()),
            {**below, **self.variables, **lock.variables},
            PLATFORMS[self.installation.subdir],
        )
        return replace(plan, prefix=self._prefix()) if plan.needs_shell else plan

    def named(self, activation_scripts: Iterable[str]) -> tuple[str, ...]:
        """Return the scripts that nothing runs with the packages they are of, sorted."""
        owners = {path: known.label for known in self.contents for path in known.activation}
        scripts = (*activation_scripts, *self._activation.skipped)
        named = [f"{path} ({owners[path]})" for path in scripts]
        for known in self.contents:
            named += [f"{path} ({known.label})" for path in known.skipped_scripts]
        return tuple(sorted(named))

    def _prefix(self) -> Prefix:
        files: set[str] = set()
        links: dict[str, str] = {}
        directories: set[str] = set()
        for known, omit in self._with_omitted():
            directories.update(set(known.directories) - omit)
            files.update(set(installed_paths(known, self.installation.python)) - omit)
            own = installed_links(known, self.installation.python)
            links.update((path, link) for path, link in own.items() if path not in omit)
        return Prefix(tuple(sorted(files - directories)), links, tuple(sorted(directories)))

    def _with_omitted(self) -> Iterator[tuple[PackageContents, set[str]]]:
        """Give what each conda package installs, with those of its paths that others have."""
        # Wheels come after all of them.
        for known, package in zip(self.contents, self.packages, strict=False):
            yield known, set(package.omit)

    @property
    def packages(self) -> tuple[LayerPackage, ...]:
        """Every package and wheel in the order in which they are linked."""
        found = {p.record.sha256: p for layer in self.layers for p in layer.packages}
        records: list[ArchiveRecord] = [*self.installation.records, *self.installation.wheels]
        return tuple(found[record.sha256] for record in records)


class Pipeline:
    """Builds images from locks. Every method may be cancelled; work shared with others goes on."""

    def __init__(
        self,
        store: Store,
        bases: BaseImages,
        contents: ContentsCache,
        layers: Layers,
        compilers: CompilingPythons,
        activations: ActivationCache,
    ) -> None:
        self._store = store
        self._bases = bases
        self._contents = contents
        self._layers = layers
        self._compilers = compilers
        self._activations = activations

    async def build(
        self, lock: Lock, flavour: Flavour, on_progress: ProgressListener
    ) -> BuiltImage:
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
            manifests[subdir] = await self._build_platform(lock, subdir, flavour, on_progress)
        index = None
        if len(manifests) > 1:
            pairs = [(PLATFORMS[subdir], document) for subdir, document in manifests.items()]
            index = image_index(pairs, lock.key, flavour)
            await self._keep(index)
        return BuiltImage(manifests, index)

    async def _build_platform(
        self, lock: Lock, subdir: Subdir, flavour: Flavour, on_progress: ProgressListener
    ) -> Document:
        on_progress(Progress("base"))
        platform = PLATFORMS[subdir]
        base = None
        if lock.base is not None:
            is_locked = await self._store.size(lock_key(lock.key)) is not None
            base = await self._bases.fetch(lock.base, platform, is_locked=is_locked)
        layers = await self._layers_of(lock, subdir, flavour, base, on_progress)
        on_progress(Progress("finish"))
        config = image_config(layers, base)
        manifest = image_manifest(layers, base, config, lock.key, flavour)
        await self._keep(config)
        await self._keep(manifest)
        return manifest

    async def plan(
        self, lock: Lock, subdir: Subdir, on_progress: ProgressListener
    ) -> PlannedEnvironment:
        """Return what is to be installed for one platform, and how.

        Raises:
            PackageError: A package or wheel cannot be had, is damaged or is refused.
        """
        installation = Installation.of(lock, subdir)
        installation.check_wheels()
        contents, wheel_contents = await self._contents_of(installation, on_progress)
        on_progress(Progress("plan"))
        # It looks at each path of the environment.
        layers = await asyncio.to_thread(installation.plan, contents, wheel_contents)
        on_progress(Progress("plan", note=_conflicts(subdir, layers)))
        return PlannedEnvironment(installation, tuple(contents), layers, tuple(wheel_contents))

    async def compiler(self, lock: Lock, python: PythonTarget | None) -> Compiler | None:
        """Return what compiles modules for ``python``; ``None`` for an environment without it.

        Raises:
            BytecodeError: No Python can be had that compiles for it.
            PackageError: It cannot be downloaded or unpacked.
        """
        if python is None:
            return None
        records = await self._compilers.records(lock, python.version)
        return await self._compilers.compiler(records, python)

    async def layers(
        self,
        lock: Lock,
        plans: Sequence[LayerPlan],
        encoding: Encoding,
        on_progress: ProgressListener,
    ) -> tuple[LayerBlob, ...]:
        """Return layers in the order of their plans, assembled where they are not in the store.

        Raises:
            PackageError: A package cannot be had, is damaged or is refused.
            BytecodeError: A package cannot be compiled.
            WorkerLost: An assembling process died.
        """
        # What takes longest starts first, so that no worker waits for one late large layer.
        order = sorted(range(len(plans)), key=lambda at: _effort(plans[at]), reverse=True)
        made = await _all(
            [
                self._layers.ensure(
                    plans[at], encoding, partial(self._python, lock, plans[at].python)
                )
                for at in order
            ],
            "assemble",
            on_progress,
        )
        blobs = dict(zip(order, made, strict=True))
        return tuple(blobs[at] for at in range(len(plans)))

    async def _layers_of(
        self,
        lock: Lock,
        subdir: Subdir,
        flavour: Flavour,
        base: BaseImage | None,
        on_progress: ProgressListener,
    ) -> EnvironmentLayers:
        encoding: Encoding = "zstd" if flavour == "oci-zstd" else "gzip"
        # Told first: what is begun with belongs to this stage.
        on_progress(Progress("download"))
        await self._begin(lock, subdir, encoding)
        planned = await self.plan(lock, subdir, on_progress)
        plans = planned.layers
        records = planned.installation.records
        blobs = await self.layers(lock, plans, encoding, on_progress)
        activation = await self._activations.get(planned.activation(lock, base))
        return EnvironmentLayers(
            platform=PLATFORMS[subdir],
            blobs=blobs,
            contents=tuple(
                tuple(f"{p.record.name} {p.record.version}" for p in plan.packages)
                for plan in plans
            ),
            variables={**planned.variables, **activation.variables, **lock.variables},
            path=activation.path,
            user=lock.user,
            skipped_scripts=planned.named(activation.skipped),
            newest_ms=max((record.timestamp_ms or 0 for record in records), default=0),
        )

    async def _python(self, lock: Lock, python: PythonTarget | None) -> tuple[PackageRecord, ...]:
        return await self._compilers.records(lock, python.version) if python else ()

    async def _begin(self, lock: Lock, subdir: Subdir, encoding: Encoding) -> None:
        """Begin with layers before they are planned, if packages have to be downloaded first."""
        # Otherwise the workers wait for the last download, and nothing is downloaded after it.
        installation = Installation.of(lock, subdir)
        installation.check_wheels()
        if await self._contents.has((*installation.records, *installation.wheels)):
            return
        # Packages are fetched in this order too.
        for plan in sorted(installation.expected(), key=_effort, reverse=True):
            self._layers.begin(plan, encoding, partial(self._python, lock, plan.python))

    async def _contents_of(
        self, installation: Installation, on_progress: ProgressListener
    ) -> tuple[list[PackageContents], list[WheelContents]]:
        work: list[Awaitable[PackageContents | WheelContents]] = [
            *(self._contents.get(record) for record in installation.records),
            *(self._contents.get_wheel(wheel) for wheel in installation.wheels),
        ]
        known = await _all(work, "download", on_progress)
        return (
            [one for one in known if isinstance(one, PackageContents)],
            [one for one in known if isinstance(one, WheelContents)],
        )

    async def _keep(self, document: Document) -> None:
        await self._store.write(blob_key(document.digest), document.data)


def _conflicts(subdir: Subdir, layers: Sequence[LayerPlan]) -> str:
    """Return a line on the paths that packages have in common; empty if there are none."""
    packages = [package for layer in layers for package in layer.packages if package.omit]
    names = sorted(f"{package.record.name} ({len(package.omit)})" for package in packages)
    if not names:
        return ""
    return f"{subdir}: paths that a later package has too, left out of {', '.join(names)}"


def _effort(plan: LayerPlan) -> tuple[bool, int]:
    """Return what layers are sorted by for the time they take: compiling takes longest."""
    return plan.python is not None, sum(package.record.size_bytes for package in plan.packages)


async def _all(
    work: Sequence[Awaitable[Result]], stage: Stage, on_progress: ProgressListener
) -> list[Result]:
    """Wait for all of ``work`` and tell how far it is."""
    done = 0

    async def counted(one: Awaitable[Result]) -> Result:
        nonlocal done
        result = await one
        done += 1
        on_progress(Progress(stage, done, len(work)))
        return result

    on_progress(Progress(stage, 0, len(work)))
    return await together(counted(one) for one in work)
