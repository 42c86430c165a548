"""Runs uv without configuration files, and with an environment of its own."""

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from uv import find_uv_bin

from builder.concurrency.priority import PrioritySemaphore
from builder.errors import IndexUnavailable, SolveTimeout
from builder.network.index_limits import (
    CACHE_SETTING,
    FILE_SETTING,
    MEMORY_SETTING,
    IndexLimits,
    used_bytes,
)

#: No configuration file, no build of anything, no other Python, nothing for a terminal.
_COMMAND: Final = (
    *("pip", "compile", "--no-config", "--no-header", "--no-progress", "--color", "never"),
    *("--only-binary", ":all:", "--no-sources", "--no-python-downloads"),
    *("--keyring-provider", "disabled", "--resolution", "highest"),
)

#: By itself uv trusts public authorities alone, not a company's own that the machine trusts.
_SYSTEM_AUTHORITIES: Final = "--system-certs"
#: What it says on a machine that has none at all, whatever it is asked.
_NO_AUTHORITIES: Final = "No CA certificates were loaded from the system"

#: The locks of the largest environments have some 2 MB.
_MAX_OUTPUT_BYTES: Final = 32 * 1024 * 1024
_PIECE: Final = 1024 * 1024
_WATCH_SECONDS: Final = 1.0
#: The signals by which a limit of the kernel ends uv, and its setting.
_ENDED_BY_LIMIT: Final = {
    -signal.SIGXFSZ: FILE_SETTING,
    -signal.SIGABRT: MEMORY_SETTING,
    -signal.SIGKILL: MEMORY_SETTING,
}


class UvFailed(Exception):
    """uv ended with an error; the text is its standard error."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The output of uv."""

    #: Its standard output.
    text: str
    #: Its standard error: warnings, if it has any.
    said: str


class Uv:
    """Runs ``uv pip compile``; a bounded number at once.

    Args:
        index_url: A simple index (PEP 503, PEP 691), e.g. ``"https://pypi.org/simple"``.
        cache_dir: Where uv keeps what the index said; may be emptied while no uv runs.
        environment: Variables for the network alone: proxies and certificates.
        timeout_seconds: What one run may take.
        parallel: How many run at once; each may take some hundred megabytes.
        limits: What a run, and all that is kept, may take.
    """

    def __init__(
        self,
        index_url: str,
        cache_dir: Path,
        *,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 120,
        parallel: int = 2,
        limits: IndexLimits | None = None,
    ) -> None:
        self.index_url = index_url
        self._cache_dir = cache_dir
        self._limits = limits or IndexLimits()
        self._running = 0
        self._program = find_uv_bin()
        self._options = ["--default-index", index_url, "--cache-dir", str(cache_dir.absolute())]
        # The Python is asked for what the target does not say, and it runs nothing of a package.
        self._options += ["--python", sys.executable]
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            **(environment or {}),
        }
        self._authorities: tuple[str, ...] = (_SYSTEM_AUTHORITIES,)
        self._timeout_seconds = timeout_seconds
        self._slots = PrioritySemaphore(parallel)

    async def compile(self, options: Sequence[str], directory: Path) -> Compiled:
        """Return what ``uv pip compile`` answers, run in ``directory``.

        May be cancelled: the process is gone then.

        Raises:
            UvFailed: It ended with an error.
            SolveTimeout: It took too long.
            IndexUnavailable: What the index says is more than is allowed.
        """
        async with self._slots.slot():
            await self._make_room()
            process = await asyncio.create_subprocess_exec(
                self._program,
                *_COMMAND,
                *self._authorities,
                *self._options,
                *options,
                cwd=directory,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            self._running += 1
            try:
                with suppress(ProcessLookupError):
                    self._limits.hold(process.pid)
                out, err = await asyncio.wait_for(self._output(process), self._timeout_seconds)
            except TimeoutError as exc:
                raise SolveTimeout(
                    f"the packages of PyPI were not resolved within {self._timeout_seconds:g}"
                    f" seconds; ask for fewer, or for exact versions"
                ) from exc
            finally:
                self._running -= 1
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        said = err.decode(errors="replace")
        if process.returncode in _ENDED_BY_LIMIT:
            raise self._too_much(_ENDED_BY_LIMIT[process.returncode])
        if process.returncode != 0:
            if self._authorities and _NO_AUTHORITIES in said:
                self._authorities = ()
                return await self.compile(options, directory)
            raise UvFailed(said)
        return Compiled(out.decode(errors="replace"), said)

    async def _output(self, process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
        """Return what it says, until it ends or is too much.

        Raises:
            IndexUnavailable: It says too much, or fills the disk.
        """
        assert process.stdout is not None
        assert process.stderr is not None
        watch = asyncio.create_task(self._watch())
        reading = asyncio.gather(self._read(process.stdout), self._read(process.stderr))
        tasks: list[asyncio.Future[Any]] = [watch, reading]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                raise self._too_much(CACHE_SETTING)
            out, err = await reading
        finally:
            watch.cancel()
            reading.cancel()
        await process.wait()
        return out, err

    async def _read(self, stream: asyncio.StreamReader) -> bytes:
        found = bytearray()
        while piece := await stream.read(_PIECE):
            found += piece
            if len(found) > _MAX_OUTPUT_BYTES:
                raise self._too_much(None)
        return bytes(found)

    async def _watch(self) -> None:
        """Wait until the cache is larger than its limit, and return."""
        pause_seconds = _WATCH_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            started = time.monotonic()
            if await asyncio.to_thread(used_bytes, self._cache_dir) > self._limits.cache_bytes:
                return
            pause_seconds = max(_WATCH_SECONDS, 10 * (time.monotonic() - started))

    async def _make_room(self) -> None:
        """Empty the cache if it is larger than its limit and not in use."""
        used = 0 if self._running else await asyncio.to_thread(used_bytes, self._cache_dir)
        if used > self._limits.cache_bytes and not self._running:
            shutil.rmtree(self._cache_dir, ignore_errors=True)

    def _too_much(self, setting: str | None) -> IndexUnavailable:
        host = urlsplit(self.index_url).netloc
        allowed = f"{setting} allows" if setting else "this server takes at once"
        return IndexUnavailable(
            f"the index of PyPI packages at {host} cannot be used: what it says of the packages is"
            f" more than {allowed}"
        )
