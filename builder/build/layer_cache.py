"""Layers in the store: looked up by key, else assembled, once however many ask."""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final, Protocol

from builder.bytecode.compiler import Compiler
from builder.concurrency.single_flight import SingleFlight
from builder.fetch.packages import Packages
from builder.install.assemble import assemble
from builder.keys import blob_key, layer_record_key
from builder.layer import Encoding, LayerBlob, LayerPlan, PythonTarget
from builder.ports import BuildMetrics, Store, Workers
from builder.records import PackageRecord
from builder.system_errors import disk_errors

#: Finds the Python that compiles for a layer, when and only when the layer must be assembled.
FindPython = Callable[[], Awaitable[Sequence[PackageRecord]]]
#: Makes that Python ready on this machine.
ReadyCompiler = Callable[[Sequence[PackageRecord], PythonTarget], Awaitable[Compiler]]
#: Watches a layer while it is made: gives what is told which one it came to.
WatchLayer = Callable[[LayerPlan, Encoding], AbstractContextManager[Callable[[LayerBlob], None]]]

#: How often a layer is made that does not come out as it was before.
_TRIES: Final = 3


class Layers(Protocol):
    """Gives layers by their plans."""

    async def ensure(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        """Return the layer; its blob is in the store, assembled if it was not there.

        Idempotent; a caller that is cancelled stops nothing that others wait for. ``python`` finds
        the compiler, if the plan has a :attr:`~builder.layer.LayerPlan.python`.

        Raises:
            PackageError: A package cannot be had, is damaged or is refused.
            BytecodeError: Its modules cannot be compiled.
            WorkerLost: The assembling process died.
        """
        ...

    def begin(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> None:
        """Begin to make a layer, or do nothing, at once; errors are left to :meth:`ensure`."""
        ...


class LayerCache:
    """Looks layers up in the store, and assembles what is missing; implements :class:`Layers`."""

    def __init__(
        self,
        store: Store,
        packages: Packages,
        workers: Workers,
        compiler: ReadyCompiler,
        scratch: Path,
        metrics: BuildMetrics,
        watch: WatchLayer | None = None,
    ) -> None:
        self._store = store
        self._packages = packages
        self._workers = workers
        self._compiler = compiler
        self._scratch = scratch
        self._metrics = metrics
        self._watch = watch or _unwatched
        self._flights: SingleFlight[LayerBlob] = SingleFlight()

    async def ensure(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        """Return the layer, assembled if its blob is not in the store; see :class:`Layers`."""
        return await asyncio.shield(self._start(plan, encoding, python))

    def begin(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> None:
        """Begin to make a layer; see :class:`Layers`."""
        self._start(plan, encoding, python)

    async def known(self, plan: LayerPlan, encoding: Encoding) -> LayerBlob | None:
        """Return the layer if it was made before and its blob is in the store."""
        known = await self._recorded(plan, encoding)
        if known is None:
            return None
        size = await self._store.size(blob_key(known.digest))
        return known if size == known.size_bytes else None

    async def close(self) -> None:
        """Cancel the running tasks and wait for them to end."""
        await self._flights.close()

    def _start(
        self, plan: LayerPlan, encoding: Encoding, python: FindPython
    ) -> asyncio.Task[LayerBlob]:
        return self._flights.start(
            f"{plan.key}-{encoding}", lambda: self._ensure(plan, encoding, python)
        )

    async def _ensure(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        with self._watch(plan, encoding) as tell:
            blob = await self.known(plan, encoding) or await self._make(plan, encoding, python)
            tell(blob)
        return blob

    async def _make(self, plan: LayerPlan, encoding: Encoding, python: FindPython) -> LayerBlob:
        records = [package.record for package in plan.packages]

        async def work(archives: list[Path]) -> LayerBlob:
            paths = {record.sha256: path for record, path in zip(records, archives, strict=True)}
            ready = None
            if plan.python is not None:
                ready = await self._compiler(await python(), plan.python)
            # Downloads take their time: another server may have made the layer meanwhile.
            known = await self.known(plan, encoding)
            return known or await self._assemble(plan, encoding, paths, ready)

        blob = await self._packages.use(records, work)
        record = json.dumps(asdict(blob)).encode()
        await self._store.write(layer_record_key(plan.key, encoding), record)
        return blob

    async def _recorded(self, plan: LayerPlan, encoding: Encoding) -> LayerBlob | None:
        """Return what the layer was when it was made before."""
        data = await self._store.read(layer_record_key(plan.key, encoding))
        return LayerBlob(**json.loads(data)) if data is not None else None

    async def _assemble(
        self,
        plan: LayerPlan,
        encoding: Encoding,
        paths: Mapping[str, Path],
        compiler: Compiler | None,
    ) -> LayerBlob:
        """Make the layer; one that was made before comes out as it was.

        On some virtual machines ISA-L misses a match in one of thousands of pieces: the same tar in
        other bytes. What images name by its digest is made until it has that digest.
        """
        before = await self._recorded(plan, encoding)
        for _ in range(_TRIES - 1):
            blob = await self._try(plan, encoding, paths, compiler, before)
            if blob is not None:
                return blob
        blob = await self._try(plan, encoding, paths, compiler, None)
        assert blob is not None, "without a digest to have, it is as it is"
        return blob

    async def _try(
        self,
        plan: LayerPlan,
        encoding: Encoding,
        paths: Mapping[str, Path],
        compiler: Compiler | None,
        before: LayerBlob | None,
    ) -> LayerBlob | None:
        """Make the layer and put it into the store, unless it is not as it was before."""
        out = self._scratch / f"layer-{secrets.token_hex(8)}"
        started = time.monotonic()
        try:
            with disk_errors():
                blob = await self._workers.run(
                    assemble, plan, paths, encoding, out, self._scratch, compiler
                )
            if before is not None and before.digest != blob.digest:
                return None
            await self._store.adopt(blob_key(blob.digest), out)
        finally:
            out.unlink(missing_ok=True)
        self._metrics.assembled(blob.tar_size_bytes, time.monotonic() - started)
        return blob


@contextmanager
def _unwatched(_plan: LayerPlan, _encoding: Encoding) -> Iterator[Callable[[LayerBlob], None]]:
    yield lambda _blob: None
