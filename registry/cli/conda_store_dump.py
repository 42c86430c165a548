"""A conda-store that is read from a dump of its PostgreSQL database.

A dump is text as ``pg_dump`` writes it, or an archive that ``pg_restore`` makes such text of; of
an address, ``pg_dump`` makes it. Only the blocks ``COPY`` of the tables that matter are read, a
line at a time. Locks are not in the database, but in the directory of ``LocalStorage`` or a copy
of the bucket: where that is not given, the packages that conda-store noted for a build stand for
its lock, if it has no others.
"""

import asyncio
import contextlib
import gzip
import json
import os
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from registry.cli.conda_store_records import (
    Content,
    Old,
    OldBuild,
    OldEnvironment,
    OldNamespace,
    OldRole,
    Remark,
    Unreadable,
    content_of,
    moment,
)
from registry.cli.output import plain
from registry.cli.remote import RemoteError

Row = dict[str, str | None]

_TABLES: Final = (
    *("namespace", "namespace_role_mapping", "namespace_role_mapping_v2", "specification"),
    *("build", "build_artifact", "environment", "keyvaluestore"),
)
#: What stands for locks that are not given: of all packages of all channels, what builds have.
_PACKAGES: Final = (
    *("build_conda_package_build", "conda_package_build", "conda_package", "conda_channel"),
)
_COPY: Final = re.compile(r'COPY (?:"?\w+"?\.)?"?(\w+)"? \(([^)]*)\) FROM stdin;')
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MAX_LOCK_BYTES: Final = 64 * 2**20
_POSTGRES: Final = ("postgresql://", "postgres://", "postgresql+psycopg2://")
_LOCK: Final = "LOCKFILE"


@dataclass(slots=True)
class _Tables:
    """The rows that matter."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def __getitem__(self, table: str) -> list[Row]:
        return self.rows.get(table, [])

    def by_id(self, table: str) -> dict[str, Row]:
        """Return the rows of a table by their ids."""
        return {str(row["id"]): row for row in self[table]}


class CondaStoreDump:
    """Reads a conda-store from a dump.

    Args:
        dump: A file, the directory of an archive, or the address of a database.
        source: What builds are known by; the address that it had, if it was moved by that before.
        storage: Where artifacts are, as keys below it; ``None``: they are gone.
    """

    def __init__(self, dump: str, source: str, storage: Path | None) -> None:
        self._dump = dump
        self._source = source
        self._storage = storage
        self._specs: dict[str, Mapping[str, Any]] = {}
        #: By the build's id: the row, and the key of the lock that conda-store noted.
        self._builds: dict[int, Row] = {}
        self._locks: dict[int, str] = {}
        self._explicit: dict[int, list[str]] = {}

    @property
    def source(self) -> str:
        """What it was called."""
        return self._source

    async def read(self, namespaces: Collection[str]) -> Old:
        """Return what it has in these namespaces; none said: in all."""
        try:
            return await asyncio.to_thread(self._read, frozenset(namespaces))
        except (KeyError, ValueError) as exc:
            raise RemoteError(
                f"{self._shown} has other tables than a conda-store of 2024 or 2025"
                f" ({plain(repr(exc))}): upgrade it before it is dumped"
            ) from exc

    async def content(self, build: OldBuild, *, with_lock: bool) -> Content:
        """Return what a build was built from.

        Raises:
            Unreadable: The dump has nothing of it.
        """
        spec = self._specs.get(str(self._builds[build.id]["specification_id"]))
        if spec is None:
            raise Unreadable("the dump has nothing of what it was built from")
        if not with_lock:
            return content_of(spec, None)
        lock = await asyncio.to_thread(self._lock, build.id)
        if lock is None and build.id in self._explicit and not _has_pip(spec):
            lock = "\n".join(["@EXPLICIT", *self._explicit[build.id], ""])
        problem = "" if lock is not None else "it is not in the dump: say where it is by --storage"
        if self._storage is not None and problem:
            problem = f"{self._storage} does not have it"
        return content_of(spec, lock, problem)

    def _read(self, namespaces: frozenset[str]) -> Old:
        tables = self._rows(_TABLES)
        if not tables["namespace"]:
            raise RemoteError(
                f"{self._shown} has no table of conda-store with rows: give what"
                " 'pg_dump' writes without '--inserts' or '--schema-only'"
            )
        old = Old()
        names = _namespaces(tables, namespaces, old)
        environments = _environments(tables, names, old)
        self._read_builds(tables, environments, old)
        _roles(tables, old)
        settings = len(tables["keyvaluestore"])
        if settings:
            old.remarks.append(
                Remark(f"{settings} settings", "they are policies here: see 'pullforge policy'")
            )
        if any(one.id not in self._locks or self._storage is None for one in old.builds):
            self._read_packages(old.builds)
        return old

    def _read_builds(
        self, tables: _Tables, environments: Mapping[str, OldEnvironment], old: Old
    ) -> None:
        deleted = 0
        used = set()
        for row in tables["build"]:
            environment = environments.get(str(row["environment_id"]))
            if environment is None:
                continue
            if row["deleted_on"] is not None and str(environment.current_build_id) != row["id"]:
                deleted += 1
                continue
            build = OldBuild(
                id=_number(row, "id"),
                environment_id=environment.id,
                status=str(row["status"]),
                message=row.get("status_info") or "",
                scheduled_on=moment(row["scheduled_on"]) or "",
                started_on=moment(row["started_on"]),
                ended_on=moment(row["ended_on"]),
            )
            old.builds.append(build)
            self._builds[build.id] = row
            used.add(str(row["specification_id"]))
        if deleted:
            old.remarks.append(Remark(f"{deleted} builds", "they were deleted there"))
        for row in tables["specification"]:
            if row["id"] in used:
                with contextlib.suppress(ValueError, RecursionError):
                    spec = json.loads(row["spec"] or "")
                    if isinstance(spec, Mapping):
                        self._specs[str(row["id"])] = {**spec, "name": row["name"]}
                        row["spec"] = None  # it may be a whole lock
        hashes = {str(row["id"]): str(row["sha256"]) for row in tables["specification"]}
        noted = {
            _number(row, "build_id"): str(row["key"])
            for row in tables["build_artifact"]
            if row["artifact_type"] == _LOCK
        }
        for number, row in self._builds.items():
            name = str(self._specs.get(str(row["specification_id"]), {}).get("name", ""))
            key = noted.get(number, "")
            if number in noted or row["status"] == "COMPLETED":
                digest = hashes.get(str(row["specification_id"]), "")
                self._locks[number] = key or f"lockfile/{_build_key(row, digest, name)}.yml"

    def _read_packages(self, builds: Iterable[OldBuild]) -> None:
        """Read which packages conda-store noted for builds, in two passes: there are millions."""
        wanted = {str(one.id) for one in builds}
        edges = [
            (int(str(row["build_id"])), str(row["conda_package_build_id"]))
            for row in self._rows(_PACKAGES[:1])[_PACKAGES[0]]
            if row["build_id"] in wanted
        ]
        if not edges:
            return
        used = {package for _, package in edges}
        tables = self._rows(_PACKAGES[1:], {"conda_package_build": used})
        channels = {str(row["id"]): str(row["name"]) for row in tables["conda_channel"]}
        packages = tables.by_id("conda_package")
        lines: dict[str, str] = {}
        for row in tables["conda_package_build"]:
            package = packages.get(str(row["package_id"]))
            if package is None:
                continue
            channel = channels.get(str(package["channel_id"]), "")
            file = f"{package['name']}-{package['version']}-{row['build']}.tar.bz2"
            lines[str(row["id"])] = f"{channel}/{row['subdir']}/{file}#{row['md5']}"
        found: dict[int, list[str]] = defaultdict(list)
        for build, package_id in sorted(edges):
            found[build].append(lines.get(package_id, ""))
        self._explicit = {build: rows for build, rows in found.items() if all(rows)}

    def _lock(self, build: int) -> str | None:
        key = self._locks.get(build)
        if self._storage is None or key is None:
            return None
        path = (self._storage / key).resolve()
        if not path.is_relative_to(self._storage.resolve()):
            return None
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_LOCK_BYTES + 1)
            return data.decode() if len(data) <= _MAX_LOCK_BYTES else None
        except (OSError, UnicodeDecodeError):
            return None

    def _rows(
        self, names: Collection[str], only: Mapping[str, Collection[str]] | None = None
    ) -> _Tables:
        """Return the rows of tables; of those that ``only`` names, rows with these ids alone."""
        found = _Tables()
        with self._text(names) as lines:
            for table, row in _copied(lines, frozenset(names)):
                ids = (only or {}).get(table)
                if ids is None or row["id"] in ids:
                    found.rows[table].append(row)
        return found

    @property
    def _shown(self) -> str:
        """What people are told of where it is: without a password."""
        if not self._dump.startswith(_POSTGRES):
            return self._dump
        return self._dump.rpartition("@")[2] or self._dump

    @contextmanager
    def _text(self, names: Collection[str]) -> Iterator[Iterable[bytes]]:
        """Give the lines of the dump.

        Raises:
            RemoteError: It cannot be read.
        """
        if self._dump.startswith(_POSTGRES):
            yield from self._written(*_pg_dump(self._dump, names))
            return
        path = Path(self._dump)
        try:
            if path.is_dir() or _is_archive(path):
                tables = [f"--table={name}" for name in names]
                argv = ["pg_restore", "--data-only", *tables, "--file=-", str(path)]
                yield from self._written(argv, {})
                return
            with path.open("rb") as file:
                is_packed = file.read(2) == b"\x1f\x8b"
            with gzip.open(path) if is_packed else path.open("rb") as lines:
                yield lines
        except (OSError, EOFError) as exc:
            raise RemoteError(f"{path} cannot be read: {plain(str(exc))}") from exc

    def _written(self, argv: list[str], environ: Mapping[str, str]) -> Iterator[IO[bytes]]:
        """Give what a program of PostgreSQL writes.

        Raises:
            RemoteError: It fails, or there is none.
        """
        # What it says goes into a file: nobody reads a second pipe while it writes into the first.
        with tempfile.TemporaryFile() as said:
            try:
                program = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    env={**os.environ, **environ},
                )
            except OSError as exc:
                raise RemoteError(
                    f"{argv[0]} cannot be run ({exc.strerror}): install PostgreSQL's client"
                    " programs, or give a dump as plain text"
                ) from exc
            with program:
                assert program.stdout is not None
                yield program.stdout
            if program.returncode:
                said.seek(0)
                reason = plain(said.read(2000).decode(errors="replace"))
                raise RemoteError(f"{argv[0]} cannot read {self._shown}: {reason}")


def _pg_dump(address: str, names: Collection[str]) -> tuple[list[str], dict[str, str]]:
    """Return a command, and what it finds in its environment: a password is in no list of these."""
    parts = urlsplit("postgresql://" + address.partition("://")[2])
    environ = {"PGPASSWORD": unquote(parts.password)} if parts.password else {}
    netloc = parts.netloc.rpartition("@")[2]
    if parts.username:
        netloc = f"{parts.username}@{netloc}"
    place = urlunsplit(parts._replace(netloc=netloc))
    tables = [f"--table={name}" for name in names]
    return ["pg_dump", "--data-only", *tables, f"--dbname={place}"], environ


def _is_archive(path: Path) -> bool:
    """Tell whether a file is for ``pg_restore``: its own format, or tar."""
    with path.open("rb") as file:
        head = file.read(512)
    return head.startswith(b"PGDMP") or head[257:262] == b"ustar"


def _copied(lines: Iterable[bytes], wanted: frozenset[str]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of the blocks ``COPY`` of some tables."""
    table, columns = "", []
    for raw in lines:
        if not table:
            match = _COPY.match(raw.decode(errors="replace")) if raw.startswith(b"COPY ") else None
            if match is not None:
                table = match[1]
                columns = [one.strip().strip('"') for one in match[2].split(",")]
            continue
        if raw.rstrip(b"\r\n") == b"\\.":
            table = ""
        elif table in wanted:
            cells = raw.decode(errors="replace").rstrip("\n").split("\t")
            if len(cells) != len(columns):
                raise RemoteError(f"the dump is cut off in the rows of '{table}'")
            yield table, dict(zip(columns, map(_cell, cells), strict=True))
    if table:
        raise RemoteError(f"the dump is cut off in the rows of '{table}'")


def _cell(text: str) -> str | None:
    r"""Return a value as PostgreSQL writes it in text; ``None`` is ``\N``.

    >>> _cell(r"a\tb\\n"), _cell(r"\N")
    ('a\tb\\n', None)
    """
    if text == "\\N":
        return None
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    said = match[1]
    if said[0] == "x" and len(said) > 1:
        return chr(int(said[1:], 16))
    if said[0] in "01234567":
        return chr(int(said, 8))
    return _ESCAPES.get(said, said)


def _namespaces(tables: _Tables, wanted: frozenset[str], old: Old) -> dict[str, str]:
    """Return names of namespaces by their ids, and put them to the others."""
    names: dict[str, str] = {}
    deleted = 0
    for row in tables["namespace"]:
        name = str(row["name"])
        if wanted and name not in wanted:
            continue
        if row["deleted_on"] is not None:
            deleted += 1
            continue
        names[str(row["id"])] = name
        metadata = row.get("metadata_") or "{}"
        old.namespaces.append(OldNamespace(name, has_metadata=metadata not in {"{}", "null"}))
    if deleted:
        old.remarks.append(Remark(f"{deleted} namespaces", "they were deleted there"))
    return names


def _environments(tables: _Tables, names: Mapping[str, str], old: Old) -> dict[str, OldEnvironment]:
    found: dict[str, OldEnvironment] = {}
    deleted = 0
    for row in tables["environment"]:
        namespace = names.get(str(row["namespace_id"]))
        if namespace is None:
            continue
        if row["deleted_on"] is not None:
            deleted += 1
            continue
        current = row["current_build_id"]
        found[str(row["id"])] = OldEnvironment(
            id=_number(row, "id"),
            namespace=namespace,
            name=str(row["name"]),
            description=row.get("description") or "",
            current_build_id=int(current) if current is not None else None,
        )
    if deleted:
        old.remarks.append(Remark(f"{deleted} environments", "they were deleted there"))
    old.environments += found.values()
    return found


def _roles(tables: _Tables, old: Old) -> None:
    """Put the roles of both generations to the others: those of namespaces that are there."""
    names = {
        str(row["id"]): str(row["name"]) for row in tables["namespace"] if row["deleted_on"] is None
    }
    for row in tables["namespace_role_mapping"]:
        subject = names.get(str(row["namespace_id"]))
        if subject is not None:
            old.roles.append(OldRole("v1", subject, str(row["entity"]), str(row["role"])))
    for row in tables["namespace_role_mapping_v2"]:
        namespace = names.get(str(row["namespace_id"]))
        subject = names.get(str(row["other_namespace_id"]))
        if namespace is not None and subject is not None:
            old.roles.append(OldRole("v2", subject, f"{namespace}/*", str(row["role"])))


def _build_key(row: Row, digest: str, name: str) -> str:
    """Return the key by which conda-store stores the files of a build, by its versions of keys."""
    version = row.get("build_key_version") or "1"
    if version == "3":
        return str(row.get("hash") or "")
    time = datetime.fromisoformat(str(row["scheduled_on"]))
    if version == "2":
        seconds = int(time.replace(tzinfo=UTC).timestamp())
        return f"{digest[:8]}-{seconds}-{row['id']}-{name}"
    return f"{digest}-{time.strftime('%Y%m%d-%H%M%S-%f')}-{row['id']}-{name}"


def _has_pip(spec: Mapping[str, Any]) -> bool:
    """Tell whether there are packages that conda-store's own list of them does not have."""
    dependencies = spec.get("dependencies")
    listed = dependencies if isinstance(dependencies, list) else []
    return "lockfile" in spec or any(isinstance(one, Mapping) for one in listed)


def _number(row: Row, field: str) -> int:
    return int(str(row[field]))
