"""git, as it is run here: without the settings of this machine, and within limits."""

import asyncio
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from registry.errors import SourceUnreachable
from registry.watcher.programs import Limits, ProgramFailed, run_program

#: What one fetch may write to the disk.
_MAX_PACK_BYTES: Final = 1024**3
#: What git may say: a line for each file, or the bytes of some hundred.
_MAX_OUTPUT_BYTES: Final = 128 * 1024**2
_BLOCK: Final = 4096
_FETCH_SECONDS: Final = 300
_READ_SECONDS: Final = 60
#: A slower transfer than so many bytes a second, for so many seconds, is given up.
_SLOW: Final = ("1000", "60")
_MAX_TOLD: Final = 300

#: The file with settings that stand for those of a user.
_GLOBAL: Final = "pullforge.config"
#: Settings of each run, which count more than those of the repository.
_SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": _SLOW[0],
    "http.lowSpeedTime": _SLOW[1],
    "http.userAgent": "git/pullforge",
    "pack.threads": "1",
    "protocol.version": "2",
    "submodule.recurse": "false",
}
#: Variables of the network that are not about proxies, and what git calls them.
_AUTHORITIES: Final = {"SSL_CERT_FILE": "GIT_SSL_CAINFO", "SSL_CERT_DIR": "GIT_SSL_CAPATH"}


@dataclass(frozen=True, slots=True)
class Repository:
    """What is fetched."""

    url: str
    #: Empty: the default one.
    branch: str = ""
    #: Which folder of it is the tree; empty: all.
    folder: str = ""
    #: Whether it may be one of this machine, as those say who run it.
    is_trusted: bool = False
    #: What its host is sent as ``Authorization``; empty: nothing.
    authorization: str = field(default="", repr=False)


class Git:
    """Runs git over one bare repository.

    All methods raise :class:`SourceUnreachable` when git fails, with a sentence for people.

    Args:
        repository: What is fetched.
        directory: Where it is kept.
        max_bytes: Larger blobs are not fetched, if the other side can leave them out.
        network: The variables by which git gets out.
    """

    def __init__(
        self, repository: Repository, directory: Path, max_bytes: int, network: Mapping[str, str]
    ) -> None:
        self._repository = repository
        self._directory = directory
        self._max_bytes = max_bytes
        self._network = dict(network)
        self._missing: Collection[str] | None = None
        #: Whether something happened that the repository here may be the cause of.
        self.is_doubtful = False

    async def prepare(self) -> None:
        """Have a repository that can be fetched into.

        Raises:
            OSError: The directory cannot be written.
        """
        if shutil.which("git") is None:
            raise SourceUnreachable("git is not installed on the server: install its package")
        scheme = urlsplit(self._repository.url).scheme
        if scheme != "https" and not (scheme == "file" and self._repository.is_trusted):
            raise SourceUnreachable("repositories are fetched by https:// alone")
        # By this alone, git of the other side, on this machine, is told which owners to trust. It
        # is written last, and never by git: the repository is whole, and of this address.
        settings = f"# {self._repository.url}\n[safe]\n\tdirectory = *\n"
        if await asyncio.to_thread(_has_text, self._directory / _GLOBAL, settings):
            return
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        await asyncio.to_thread(self._directory.mkdir, parents=True)
        self.is_doubtful = False
        await self._run("init", "--quiet", "--bare", "--template=", ".")
        await asyncio.to_thread((self._directory / "config").write_text, self._config())
        await asyncio.to_thread((self._directory / _GLOBAL).write_text, settings)

    async def fetch(self, ref: str) -> str:
        """Fetch the branch, and return the commit that it is at."""
        branch = self._repository.branch
        await self._run(
            *("fetch", "--quiet", "--depth=1", "--no-tags", "--force", "--no-write-fetch-head"),
            *(f"--filter=blob:limit={self._max_bytes + 1}", "origin"),
            f"+{f'refs/heads/{branch}' if branch else 'HEAD'}:{ref}",
            seconds=_FETCH_SECONDS,
            is_online=True,
        )
        self._missing = None
        return (await self._run("rev-parse", "--verify", f"{ref}^{{commit}}")).decode().strip()

    async def tree(self, commit: str, folder: str) -> bytes:
        """Return the entries of a commit, as ``git ls-tree -r -z`` writes them."""
        named = f"{commit}:{folder}" if folder else commit
        try:
            return await self._run("ls-tree", "-r", "-z", "--full-tree", named)
        except SourceUnreachable as exc:
            if not folder:
                raise
            raise SourceUnreachable(
                f"the branch has no folder '{folder[:200]}', and nothing was removed"
            ) from exc

    async def sizes(self, commit: str, blobs: Collection[str]) -> Mapping[str, int]:
        """Return the sizes of those of the blobs that are here."""
        here = await self._here(commit, blobs)
        if not here:
            return {}
        given = "".join(f"{blob}\n" for blob in here).encode()
        return await asyncio.to_thread(
            _sizes_in, await self._run("cat-file", "--batch-check", given=given)
        )

    async def blobs(self, blobs: Sequence[str]) -> dict[str, bytes]:
        """Return the bytes of blobs that are here."""
        if not blobs:
            return {}
        given = "".join(f"{blob}\n" for blob in blobs).encode()
        return await asyncio.to_thread(
            _blobs_in, await self._run("cat-file", "--batch", given=given)
        )

    async def _here(self, commit: str, blobs: Collection[str]) -> list[str]:
        """Return those of the blobs that were fetched: git would fetch the others one by one."""
        if self._missing is None:
            told = await self._run(
                *("rev-list", "--objects", "--no-object-names", "--missing=print", "-1", commit)
            )
            self._missing = await asyncio.to_thread(_missing_in, told)
        return sorted(blob for blob in blobs if blob not in self._missing)

    def _config(self) -> str:
        url = self._repository.url
        return (
            "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n"
            "[extensions]\n\tpartialClone = origin\n"
            f'[remote "origin"]\n\turl = "{_quoted(url)}"\n\tpromisor = true\n'
        )

    async def _run(
        self,
        *arguments: str,
        given: bytes = b"",
        seconds: float = _READ_SECONDS,
        is_online: bool = False,
    ) -> bytes:
        limits = Limits(seconds, _MAX_OUTPUT_BYTES, _MAX_PACK_BYTES)
        command = ("git", "--git-dir=.", *arguments)
        environment = self._environment(is_online=is_online)
        try:
            return await run_program(command, environment, self._directory, limits, given)
        except ProgramFailed as exc:
            if await asyncio.to_thread(self._is_full):
                exc.limit = "size"
            raise SourceUnreachable(self._sentence(exc)) from exc

    def _is_full(self) -> bool:
        """Tell whether a fetch ended as its pack is too large, which git does not say."""
        packs = (self._directory / "objects" / "pack").glob("tmp_pack_*")
        return any(pack.stat().st_size >= _MAX_PACK_BYTES - _BLOCK for pack in packs)

    def _environment(self, *, is_online: bool) -> dict[str, str]:
        settings = dict(_SETTINGS)
        found = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self._directory / _GLOBAL),
            "GIT_TERMINAL_PROMPT": "0",
            # What is missing would be fetched when it is read.
            "GIT_ALLOW_PROTOCOL": "none",
        }
        if is_online:
            found |= self._network
            found |= {_AUTHORITIES[k]: v for k, v in self._network.items() if k in _AUTHORITIES}
            found["GIT_ALLOW_PROTOCOL"] = "https:file" if self._repository.is_trusted else "https"
            settings["http.followRedirects"] = "initial"
            if self._repository.authorization:
                # Whom a redirect leads to would be sent it, too.
                settings["http.followRedirects"] = "false"
                settings["http.extraHeader"] = f"Authorization: {self._repository.authorization}"
        # Not as arguments, which every process of this machine can read.
        found["GIT_CONFIG_COUNT"] = str(len(settings))
        for place, (key, value) in enumerate(settings.items()):
            found[f"GIT_CONFIG_KEY_{place}"] = key
            found[f"GIT_CONFIG_VALUE_{place}"] = value
        return found

    def _sentence(self, exc: ProgramFailed) -> str:
        parts = urlsplit(self._repository.url)
        url, said = self._repository.url, str(exc)
        if parts.scheme == "file":
            # Whoever sees the source need not know of paths of servers.
            path, url = parts.path, f"'{parts.path.rstrip('/').rpartition('/')[2]}'"
            said = said.replace(path, url) if path.strip("/") else said
        limits = {
            "time": f"{url} was not fetched within {_FETCH_SECONDS} seconds",
            "size": f"{url} has more than the {_MAX_PACK_BYTES} bytes that are fetched at most",
            "output": f"{url} has too many files to be looked at",
        }
        if exc.limit:
            self.is_doubtful = True
            return limits[exc.limit]
        for words, sentence in _CAUSES:
            if words in said:
                return sentence.format(url=url, branch=self._repository.branch)
        self.is_doubtful = True
        lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:"))]
        told = (lines or said.splitlines() or ["git says nothing"])[-1][:_MAX_TOLD]
        return f"{url} cannot be fetched: {told}"


_PRIVATE: Final = (
    "{url}, or where it redirects to, has no public address: whoever keeps the settings names its"
    " network in PULLFORGE_PRIVATE_NETWORKS"
)
_LOCKED: Final = (
    "{url} asks for credentials, or has nothing for those that it was sent: whoever keeps the"
    " settings writes them into the file of PULLFORGE_CHANNEL_CREDENTIALS"
)
_NOWHERE: Final = "there is no repository at {url}"
_DOWN: Final = "the host of {url} is not found, or takes no connections"
#: What git says, and what that means; the first that fits counts.
_CAUSES: Final = (
    ("HTTP code 421", _PRIVATE),
    ("response 421", _PRIVATE),
    ("could not read Username", _LOCKED),
    ("Authentication failed", _LOCKED),
    ("error: 403", _LOCKED),
    ("couldn't find remote ref HEAD", "{url} has no commit yet"),
    ("couldn't find remote ref", "{url} has no branch '{branch}'"),
    ("Could not resolve", _DOWN),
    ("Proxy CONNECT aborted", _DOWN),
    ("Failed to connect", _DOWN),
    ("does not appear to be a git repository", _NOWHERE),
    ("' not found", _NOWHERE),
    ("Repository not found", _NOWHERE),
    ("certificate", "the certificate of {url} is not one that this server trusts"),
)


def _sizes_in(told: bytes) -> dict[str, int]:
    """Return the sizes of blobs that ``git cat-file --batch-check`` tells."""
    found = {}
    for line in told.decode().splitlines():
        blob, kind, *size = line.split(" ")
        if kind == "blob":
            found[blob] = int(size[0])
    return found


def _blobs_in(told: bytes) -> dict[str, bytes]:
    """Return the blobs that ``git cat-file --batch`` tells."""
    found, at = {}, 0
    while at < len(told):
        end = told.index(b"\n", at)
        blob, _, size = told[at:end].decode().split(" ")
        at = end + 1 + int(size)
        found[blob] = told[end + 1 : at]
        at += 1  # a line's end
    return found


def _missing_in(told: bytes) -> frozenset[str]:
    """Return the objects that ``git rev-list --missing=print`` says are not here."""
    lines = told.decode().splitlines()
    return frozenset(line[1:] for line in lines if line.startswith("?"))


def _has_text(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except (OSError, ValueError):
        return False


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
