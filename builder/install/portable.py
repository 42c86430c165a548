"""An environment as an archive that is unpacked anywhere: conda-pack's, made without a prefix.

conda-pack wants an installed environment and the unpacked packages it came from. Here the same
archive is written in one stream, as a layer is (see :mod:`builder.install.assemble`), with these
differences:

* Paths begin at the environment's root, not at ``opt/conda``.
* Prefixes are left as the packages have them. conda-pack's ``bin/conda-unpack``, which is in the
  archive with a list of them, puts in the directory where it is run. It opens files to write, so
  that their owner may write them, whatever mode they have in the package.
* Scripts in ``bin`` find their interpreter by ``/usr/bin/env``, so that they run before that.
* The scripts that activate are our own (see :mod:`builder.install.portable_scripts`).
* Modules in which a prefix will be replaced get no bytecode, which would stay as it is.

Source: conda-pack's ``conda_pack/core.py`` (``Packer``).
"""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from conda_pack.core import Packer

from builder.bytecode.compiler import Compilation, Compiler
from builder.install.activation import parse_variables
from builder.install.archive import PackageFile
from builder.install.assemble import HISTORY, write_package
from builder.install.conda_meta import STATE, environment_state
from builder.install.layer_sink import LayerSink
from builder.install.layout import ROOT
from builder.install.package_info import FileMode, PackagePath, Relocation
from builder.install.package_writer import PackageWriter
from builder.install.portable_scripts import PREFIX_MARK, activation_scripts
from builder.install.tar_reader import Buffer
from builder.install.tar_writer import GENERATED_MTIME, TarWriter
from builder.layer import PREFIX, Encoding, LayerPackage, PythonTarget
from builder.oci.digest import Digest

_SCRIPTS: Final = "bin/"
#: A script that is larger is none.
_MAX_SCRIPT_BYTES: Final = 8 * 1024 * 1024

_RECORD: Final = re.compile(r"conda-meta/[^/]+\.json")
#: The variables of a package.
_ENV_VARS: Final = re.compile(r"etc/conda/env_vars\.d/[^/]+\.json")
#: An interpreter by its path, and its options.
_SHEBANG: Final = re.compile(rb"#! *(/(?:\\ |[^ \t\r])*)[ \t]*(.*?)(\r?)")
_OWNER_WRITES: Final = 0o200

#: Path, prefix and mode, as ``conda-unpack`` has them.
_Prefix = tuple[str, str, FileMode]


def assemble_portable(
    packages: Sequence[LayerPackage],
    python: PythonTarget | None,
    variables: Mapping[str, str],
    archives: Mapping[str, Path],
    encoding: Encoding,
    out: Path,
    scratch: Path,
    compiler: Compiler | None,
) -> Digest:
    """Write the archive of an environment to ``out``; the same arguments give the same bytes.

    When it raises, there is nothing at ``out``.

    Args:
        packages: All of the environment, in the order in which they are linked.
        python: What noarch packages are installed for.
        variables: Are set when the environment is activated, by conda or by its own script.
        archives: The file of each package's archive, verified, by the sha256 of its record.
        encoding: How the archive is compressed.
        out: Does not exist.
        scratch: A directory for temporary files.
        compiler: Makes bytecode for ``noarch: python`` packages; ``None`` leaves it out.

    Returns:
        The digest of what was written.

    Raises:
        PackageError: As :func:`builder.install.assemble.assemble`.
        BytecodeError: The modules of a package could not be compiled.
    """
    with out.open("xb") as file:
        sink = LayerSink(file, encoding, 2)
        try:
            tar = PortableTar(sink.write, variables)
            tar.add_file(HISTORY, 0o644, GENERATED_MTIME, 0, ())
            if variables:
                state = environment_state(variables)
                tar.add_file(ROOT + STATE, 0o644, GENERATED_MTIME, len(state), [state])
            for package in packages:
                path = archives[package.record.sha256]
                write_package(package, path, python, tar, scratch, compiler, PortableWriter)
            tar.finish()
            return sink.finish().digest
        except BaseException:
            out.unlink()
            raise
        finally:
            sink.abort()


class PortableTar(TarWriter):
    """Takes what is written for a layer and leaves out the prefix."""

    def __init__(self, write: Callable[[Buffer], object], variables: Mapping[str, str]) -> None:
        super().__init__(write)
        self._variables = variables
        #: What packages say in ``env_vars.d``, by the path of the file.
        self._package_variables: dict[str, Mapping[str, str]] = {}
        self._prefixes: list[_Prefix] = []
        #: Paths of files that ``conda-unpack`` opens.
        self._changed: set[str] = set()
        self._reserved = frozenset(_conda_pack_files([], {}))

    def keep_prefix(self, path: str, relocation: Relocation) -> None:
        """Have ``conda-unpack`` replace the prefix in a file, before it is added."""
        path = path.removeprefix(ROOT)
        self._prefixes.append((path, relocation.placeholder.decode(), relocation.mode))
        self._changed.add(path)

    def add_directory(self, path: str) -> None:
        """Write a directory below the root."""
        super().add_directory(path.removeprefix(ROOT))

    def add_file(
        self, path: str, mode: int, mtime: int, size_bytes: int, chunks: Iterable[Buffer]
    ) -> None:
        """Write a file; one of a name that conda-pack's own files have is left out, as there."""
        path = path.removeprefix(ROOT)
        if path in self._reserved:
            return
        if _RECORD.fullmatch(path):
            content = _without_source(b"".join(chunks))
            size_bytes, chunks = len(content), [content]
        if path.startswith(_SCRIPTS) and size_bytes <= _MAX_SCRIPT_BYTES:
            content = self._script(path, b"".join(chunks))
            size_bytes, chunks = len(content), [content]
        if _ENV_VARS.fullmatch(path):
            content = b"".join(chunks)
            chunks = [content]
            found = parse_variables(content.decode("utf-8", "replace")) or {}
            built = next((old for where, old, _ in self._prefixes if where == path), None)
            self._package_variables[path] = {
                name: value.replace(built, PREFIX_MARK) if built else value
                for name, value in found.items()
            }
        super().add_file(path, self._mode(path, mode), mtime, size_bytes, chunks)

    def add_symlink(self, path: str, target: str, mtime: int) -> None:
        """Write a symlink; one that leads into the prefix stays within the environment."""
        path = path.removeprefix(ROOT)
        if target == PREFIX or target.startswith(PREFIX + "/"):
            inside = target.removeprefix(PREFIX).strip("/") or "."
            target = posixpath.relpath(inside, posixpath.dirname(path) or ".")
        if path not in self._reserved:
            super().add_symlink(path, target, mtime)

    def add_hardlink(self, path: str, target: str, mode: int, mtime: int) -> None:
        """Write a hard link."""
        target = target.removeprefix(ROOT)
        super().add_hardlink(path.removeprefix(ROOT), target, self._mode(target, mode), mtime)

    def finish(self) -> None:
        """Write conda-pack's own files, and the end of the archive."""
        variables: dict[str, str] = {}
        for _, known in sorted(self._package_variables.items()):
            variables.update(known)
        variables.update(self._variables)  # conda has the environment's win
        for path, content in _conda_pack_files(self._prefixes, variables).items():
            mode = 0o755 if content.startswith(b"#!") else 0o644
            super().add_file(path, mode, GENERATED_MTIME, len(content), [content])
        super().finish()

    def _mode(self, path: str, mode: int) -> int:
        return mode | _OWNER_WRITES if path in self._changed else mode

    def _script(self, path: str, content: bytes) -> bytes:
        """Return a script of ``bin`` that finds its interpreter by ``/usr/bin/env``."""
        # If that is all that needs the prefix, ``conda-unpack`` leaves the file alone.
        kept = next((entry for entry in self._prefixes if entry[0] == path), None)
        if kept is None and content.startswith(b"#!") and PREFIX.encode() in content:
            added: _Prefix = (path, PREFIX, "text")
            self._prefixes.append(added)
            kept = added
            self._changed.add(path)
        if kept is None or kept[2] != "text":
            return content
        rewritten = _by_env(content, kept[1].encode())
        if kept[1].encode() not in rewritten:
            self._prefixes.remove(kept)
        return rewritten


class PortableWriter(PackageWriter):
    """Writes one package and leaves its prefixes as they are."""

    def _write_file(
        self,
        file: PackageFile,
        known: PackagePath,
        installed: str,
        destination: str,
        compilation: Compilation | None,
    ) -> None:
        compilation = None if known.relocation else compilation
        super()._write_file(file, known, installed, destination, compilation)

    def _write_relocated(
        self, file: PackageFile, body: PackageFile, relocation: Relocation, destination: str
    ) -> None:
        assert isinstance(self._tar, PortableTar)
        self._tar.keep_prefix(destination, relocation)
        self._add(destination, file, body.size_bytes, body.chunks())


def _without_source(record: bytes) -> bytes:
    """Return a package's record without where it was linked from: nobody has that directory."""
    content = json.loads(record)
    content["link"]["source"] = ""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _by_env(content: bytes, prefix: bytes) -> bytes:
    """Return a script whose interpreter, if it is below ``prefix``, is found on the path.

    conda-pack leaves scripts that have the prefix elsewhere too, where a directory with a space or
    a long name breaks them, and gives ``env`` the options as part of the name.
    """
    first, newline, rest = content.partition(b"\n")
    found = _SHEBANG.fullmatch(first)
    if found is None or not found[1].startswith(prefix + b"/"):
        return content
    program = found[1].rpartition(b"/")[2]
    split = b"-S " if found[2] else b""
    command = b" ".join(filter(None, (program, found[2])))
    return b"#!/usr/bin/env " + split + command + found[3] + newline + rest


class _Files:
    """What conda-pack calls an archive: keeps what it is given."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def add(self, source: str, target: str) -> None:
        self.content[target] = Path(source).read_bytes()


def _conda_pack_files(
    prefixes: Sequence[_Prefix], variables: Mapping[str, str]
) -> dict[str, bytes]:
    """Return what conda-pack puts into every archive, by path: how it is activated and unpacked."""
    files = _Files()
    packer = Packer(prefix="", archive=files)
    packer.prefixes = list(prefixes)
    packer.finish()
    return files.content | activation_scripts(variables)
