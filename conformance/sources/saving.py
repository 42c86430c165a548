"""How files come to a directory: as editors, programs and the kubelet write them.

Each way does what its program was seen to do, system call by system call, as far as somebody who
watches the directory can tell.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final


def in_place(path: Path, text: str) -> None:
    """Empty the file and fill it again: nano, shells, most programs."""
    path.write_text(text, encoding="utf-8")


def as_vim(path: Path, text: str) -> None:
    """Move the old file away and write a new one beside a swap file: vim, as it is set at first."""
    swap, probe = path.with_name(f".{path.name}.swp"), path.with_name("4913")
    swap.write_bytes(b"b0VIM 9.1" + bytes(4087))
    probe.touch()
    probe.unlink()
    backup = path.with_name(f"{path.name}~")
    if path.exists():
        path.rename(backup)
    _write_and_sync(path, text)
    backup.unlink(missing_ok=True)
    swap.unlink()


def as_emacs(path: Path, text: str) -> None:
    """Lock the file with a link that leads nowhere, and keep the old one beside it: emacs."""
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("ada@laptop.4711:1790000000")
    if path.exists():
        path.rename(path.with_name(f"{path.name}~"))
    _write_and_sync(path, text)
    lock.unlink()


def by_renaming(path: Path, text: str) -> None:
    """Write a new file under a hidden name and rename it: rsync, ``sed -i``, JetBrains."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    _write_and_sync(Path(name), text)
    Path(name).chmod(0o644)
    Path(name).replace(path)


def by_removing(path: Path, text: str) -> None:
    """Remove the file before there is a new one: ``git checkout``, ``git pull``."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


#: Every way that ends with the whole text.
WAYS: Final[Mapping[str, Callable[[Path, str], None]]] = {
    "in place": in_place,
    "vim": as_vim,
    "emacs": as_emacs,
    "renamed": by_renaming,
    "removed": by_removing,
}


def in_halves(path: Path, text: str, pause_seconds: float) -> None:
    """Write the first half, and the second later: a slow disk, a copy over a network."""
    middle = len(text) // 2
    with path.open("w", encoding="utf-8") as file:
        file.write(text[:middle])
        file.flush()
        time.sleep(pause_seconds)
        file.write(text[middle:])


class ConfigMap:
    """A directory into which the kubelet projects a ConfigMap.

    What is seen are links through ``..data``, which is renamed over: all files change at once. The
    steps are those of Kubernetes' ``AtomicWriter.Write``, by its numbers.
    """

    def __init__(self, directory: Path) -> None:
        """Have an empty directory, which is made."""
        self.directory = directory
        directory.mkdir(parents=True)

    def write(self, files: Mapping[str, str]) -> None:
        """Replace all files, by their paths."""
        data = self.directory / "..data"
        old = data.readlink() if data.is_symlink() else None
        before = _paths(self.directory / old) if old is not None else set()
        stamp = datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
        new = Path(tempfile.mkdtemp(prefix=stamp, dir=self.directory))  # 5
        new.chmod(0o755)
        for path, text in files.items():  # 6
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, encoding="utf-8")
        seen = {path.partition("/")[0] for path in files}
        for name in sorted(seen):  # 7
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(Path("..data", name))
        (self.directory / "..data_tmp").symlink_to(new.name)  # 8
        (self.directory / "..data_tmp").rename(data)  # 9
        for name in before - seen:  # 10
            (self.directory / name).unlink()
        if old is not None:  # 11
            shutil.rmtree(self.directory / old)


def _paths(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _write_and_sync(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
