"""uv, run as a program that knows nothing but what it is told."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uv import find_uv_bin

from builder.errors import SolveTimeout
from builder.turns import Turns

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


class UvFailed(Exception):
    """uv ended with an error; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What uv answered."""

    #: Its standard output.
    text: str
    #: Its standard error: warnings, if it has any.
    said: str


class Uv:
    """Runs ``uv pip compile``; a bounded number at once."""

    def __init__(
        self,
        index_url: str,
        cache_dir: Path,
        *,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 120,
        parallel: int = 2,
    ) -> None:
        """Make the runner.

        Args:
            index_url: A simple index (PEP 503, PEP 691), e.g. ``"https://pypi.org/simple"``.
            cache_dir: Where uv keeps what the index said; may be emptied while no uv runs.
            environment: Variables for the network alone: proxies and certificates.
            timeout_seconds: What one run may take.
            parallel: How many run at once; each may take some hundred megabytes.
        """
        self.index_url = index_url
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
        self._turns = Turns(parallel)

    async def compile(self, options: Sequence[str], directory: Path) -> Compiled:
        """Return what ``uv pip compile`` answers, run in ``directory``.

        May be cancelled: the process is gone then.

        Raises:
            UvFailed: It ended with an error.
            SolveTimeout: It took too long.
        """
        async with self._turns.turn():
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
            try:
                out, err = await asyncio.wait_for(process.communicate(), self._timeout_seconds)
            except TimeoutError as exc:
                raise SolveTimeout(
                    f"the packages of PyPI were not resolved within {self._timeout_seconds:g}"
                    f" seconds; ask for fewer, or for exact versions"
                ) from exc
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        said = err.decode(errors="replace")
        if process.returncode != 0:
            if self._authorities and _NO_AUTHORITIES in said:
                self._authorities = ()
                return await self.compile(options, directory)
            raise UvFailed(said)
        return Compiled(out.decode(errors="replace"), said)
