"""Jupyter kernels of environments: they appear, change and vanish with them.

A kernel that an environment brings (``share/jupyter/kernels/python3``, of ipykernel) gets a
directory of its own where Jupyter looks for kernels::

    <directory>/<namespace>-<environment>/            the first: python3, if there is one
    <directory>/<namespace>-<environment>-<kernel>/   the others
        kernel.json     starts it, activated, in what the link leads to at that moment; has our mark
        logo-64x64.png  and other files of the kernel

The mark names the root: several roots may have one directory, and nothing else is touched. Other
users may have kernels beside ours: what is in a directory in which others can write is read by
nobody here and not written to, as any name in it could lead elsewhere.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from registry.prefixes.activating import activated
from registry.prefixes.status import Link, Problem

_KERNELS: Final = "share/jupyter/kernels"
_SPEC: Final = "kernel.json"
#: In ``metadata`` of a ``kernel.json``.
_MARK: Final = "pullforge"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_NEW: Final = ".kernel.json.new"
_PYTHON: Final = "python3"
#: Jupyter takes these alone, and no difference between large and small letters.
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._-]")
_MAX_NAME: Final = 200
#: Of one file; how many are taken of a kernel, and how many kernels of an environment.
_MAX_BYTES: Final = 1024 * 1024
_MAX_FILES: Final = 32


@dataclass(frozen=True, slots=True)
class KernelReport:
    """What was changed."""

    written: int
    removed: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Kernel:
    """One that an environment brings."""

    link: Link
    #: Its directory's name there.
    own: str
    #: Whether it is the one that has the environment's name.
    is_first: bool

    @property
    def who(self) -> tuple[str, str, str]:
        """What no other kernel has."""
        return self.link.namespace, self.link.environment, self.own

    @property
    def about(self) -> str:
        return f"{self.link.namespace}/{self.link.environment}"

    @property
    def directory(self) -> Path:
        return self.link.prefix / _KERNELS / self.own


def sync_kernels(directory: Path, root: Path, links: Sequence[Link]) -> KernelReport:
    """Make a directory of kernels equal to what a root's environments bring.

    What goes wrong with one kernel stops no other.

    Args:
        directory: Where Jupyter looks, for example ``/usr/local/share/jupyter/kernels``.
        root: Of which the kernels are; absolute.
        links: All that there are; those of versions get no kernel.
    """
    written = removed = 0
    problems: list[Problem] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        made = dict(_made(directory, root))
    except OSError as exc:
        sentence = f"kernels cannot be written to {directory}: {exc.strerror}"
        return KernelReport(0, 0, (Problem("", sentence),))
    active = [link for link in links if link.is_active]
    kernels = [kernel for link in active for kernel in _brought(link)]
    wanted = _names(kernels, made)
    for name, kernel in sorted(wanted.items()):
        try:
            written += _write(directory / name, kernel, root, made.get(name))
        except _Unusable as exc:
            problems.append(Problem(kernel.about, str(exc)))
        except OSError as exc:
            sentence = f"its kernel cannot be written to {directory / name}: {exc.strerror}"
            problems.append(Problem(kernel.about, sentence))
    # A prefix that cannot be looked at, as nothing is mounted at present, keeps its kernels.
    unseen = {
        (link.namespace, link.environment)
        for link in active
        if not (link.prefix / "conda-meta").is_dir()
    }
    for name, mark in sorted(made.items()):
        if name in wanted or _who(mark)[:2] in unseen:
            continue
        try:
            _remove(directory / name, mark)
            removed += 1
        except (OSError, _Unusable) as exc:
            why = exc.strerror if isinstance(exc, OSError) else exc
            sentence = f"the kernel {directory / name} cannot be removed: {why}"
            problems.append(Problem("/".join(_who(mark)[:2]), sentence))
    return KernelReport(written, removed, tuple(problems))


class _Unusable(Exception):
    """A kernel cannot be offered; the text is a sentence."""


def _made(directory: Path, root: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return what this root has made, by name, with its mark."""
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in names:
        with (
            suppress(OSError, ValueError, RecursionError, _Unusable),
            _ours(directory / name) as into,
        ):
            mark = _mark(json.loads(_content(_SPEC, into)))
            if mark is not None and mark.get("root") == str(root):
                yield name, mark


def _mark(spec: object) -> Mapping[str, Any] | None:
    metadata = spec.get("metadata") if isinstance(spec, dict) else None
    mark = metadata.get(_MARK) if isinstance(metadata, dict) else None
    return mark if isinstance(mark, dict) else None


def _who(mark: Mapping[str, Any]) -> tuple[str, str, str]:
    namespace, environment, kernel = (
        str(mark.get(name, "")) for name in ("namespace", "environment", "kernel")
    )
    return namespace, environment, kernel


def _brought(link: Link) -> list[_Kernel]:
    """Return the kernels of an environment, without any whose directory leads out of it."""
    directory = link.prefix / _KERNELS
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        if not names or directory.resolve() != link.prefix.resolve() / _KERNELS:
            return []
    except OSError:
        return []
    names = sorted(name for name in names if (directory / name / _SPEC).exists())[:_MAX_FILES]
    names.sort(key=lambda name: name != _PYTHON)
    return [_Kernel(link, name, is_first=number == 0) for number, name in enumerate(names)]


def _names(kernels: Sequence[_Kernel], made: Mapping[str, Mapping[str, Any]]) -> dict[str, _Kernel]:
    """Return how kernels are called; notebooks name them, so that a name is kept by who has it.

    ``a-b/c`` and ``a/b-c`` would be the same: one of them gets some letters more.
    """
    had = {_who(mark): name for name, mark in made.items()}
    named: dict[str, _Kernel] = {}
    for kernel in sorted(kernels, key=lambda kernel: (kernel.who not in had, kernel.who)):
        parts = [kernel.link.namespace, kernel.link.environment]
        parts += [] if kernel.is_first else [kernel.own]
        plain = _NOT_IN_NAMES.sub("-", "-".join(parts).lower())
        digest = hashlib.sha256("\0".join(kernel.who).encode("utf-8", "replace")).hexdigest()[:8]
        longer = f"{plain[:_MAX_NAME]}-{digest}"
        names = [plain, longer] if len(plain) <= _MAX_NAME else [longer]
        if had.get(kernel.who) == longer:
            names.reverse()
        name = next((name for name in names if name not in named), longer)
        named[name] = kernel
    return named


def _write(place: Path, kernel: _Kernel, root: Path, before: Mapping[str, Any] | None) -> bool:
    """Write a kernel where it differs from what is there; return whether anything was.

    ``kernel.json`` is written first and removed last: what is half made has our mark, which is
    ``before``.
    """
    if before is None and (place.is_symlink() or (place / _SPEC).exists()):
        raise _Unusable(
            f"its kernel has no place, as {place} was not made by this root: remove it, or choose"
            " another directory for kernels"
        )
    files = dict(_files(kernel.directory))
    spec = _spec(kernel, root, sorted(files))
    data = json.dumps(spec, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    if before is None:
        place.mkdir(0o755, exist_ok=True)
    changed = False
    with _ours(place) as into:
        for name, content in {_SPEC: data, **files}.items():
            if not _has(name, content, into):
                _put(name, content, into)
                changed = True
        for name in _listed(before or {}):
            if name not in files:
                _unlink(name, into)
    return changed


@contextmanager
def _ours(place: Path) -> Iterator[int]:
    """Give a descriptor of a directory in which nobody else can write.

    Raises:
        _Unusable: Others can.
        OSError: It is none, or a link to one.
    """
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid not in {0, os.geteuid()} or found.st_mode & _OTHERS_WRITE:
            raise _Unusable(
                f"its kernel has no place, as others can write in {place}: remove it, or choose"
                " another directory for kernels"
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _put(name: str, content: bytes, into: int) -> None:
    """Write a file of a kernel; whoever reads it sees what was there before, or all of it."""
    _unlink(_NEW, into)
    number = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=into)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    os.rename(_NEW, name, src_dir_fd=into, dst_dir_fd=into)


def _unlink(name: str, into: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=into)


def _has(name: str, content: bytes, into: int) -> bool:
    """Whether a file is there and has this content."""
    try:
        return _content(name, into) == content
    except (OSError, ValueError):
        return False


def _spec(kernel: _Kernel, root: Path, files: Sequence[str]) -> dict[str, Any]:
    """Return the ``kernel.json`` of a kernel: the environment's, started by way of its link.

    Raises:
        _Unusable: The environment's own makes no sense.
    """
    link, path = kernel.link, kernel.directory / _SPEC
    try:
        own = json.loads(_content(path))
        argv, title = own["argv"], own["display_name"]
    except (ValueError, LookupError, TypeError, RecursionError):
        argv = title = own = None
    if not argv or not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise _Unusable(f"its kernel '{kernel.own}' does not say how it is started in {path}")
    name = f"{link.environment} ({link.namespace})"
    metadata = own.get("metadata")
    return {
        "language": "",
        **_moved(own, str(link.prefix), str(link.path)),
        "argv": [*activated(link.prefix, link.path), *_command(argv, link)],
        "display_name": name if kernel.is_first else f"{name}: {title}",
        "metadata": {
            **(metadata if isinstance(metadata, dict) else {}),
            _MARK: {
                "root": str(root),
                "namespace": link.namespace,
                "environment": link.environment,
                "version": link.number,
                "key": link.key,
                "kernel": kernel.own,
                "files": list(files),
            },
        },
    }


def _command(argv: Sequence[str], link: Link) -> list[str]:
    """Return what starts a kernel once its environment is activated.

    A program of ``bin`` is found by its name then, in the version that was activated.
    """
    directory, _, name = argv[0].rpartition("/")
    program = name if directory == f"{link.prefix}/bin" else argv[0]
    words: list[str] = _moved([program, *argv[1:]], str(link.prefix), str(link.path))
    return words


def _moved(value: Any, prefix: str, link: str) -> Any:
    """Return JSON that names a link where it has named the prefix."""
    if isinstance(value, str):
        return value.replace(prefix, link)
    if isinstance(value, list):
        return [_moved(one, prefix, link) for one in value]
    if isinstance(value, dict):
        return {name: _moved(one, prefix, link) for name, one in value.items()}
    return value


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Return what a kernel has besides ``kernel.json``: its logos, for example."""
    for path in sorted(directory.iterdir())[:_MAX_FILES]:
        if path.name != _SPEC and not path.name.startswith("."):
            with suppress(OSError, ValueError):
                yield path.name, _content(path)


def _content(path: Path | str, into: int | None = None) -> bytes:
    """Return the content of a small file that is no link.

    Args:
        path: Of the file.
        into: A descriptor of the directory from which the path goes on.

    Raises:
        ValueError: It is no file, or large.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    number = os.open(path, flags, dir_fd=into)
    with os.fdopen(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            raise ValueError(f"{path} is no small file")
        return file.read()


def _remove(place: Path, mark: Mapping[str, Any]) -> None:
    with _ours(place) as into:
        for name in [*_listed(mark), _NEW, _SPEC]:
            _unlink(name, into)
    # Somebody may have put something of their own there.
    with suppress(OSError):
        place.rmdir()


def _listed(mark: Mapping[str, Any]) -> list[str]:
    """Return the names of files that we have put beside ``kernel.json``."""
    files = mark.get("files")
    names = files if isinstance(files, list) else []
    return [
        name
        for name in names
        if isinstance(name, str) and "/" not in name and name not in {"", ".", ".."}
    ]
