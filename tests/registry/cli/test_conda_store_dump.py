"""A conda-store as it is read from a dump of its database."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from registry.cli.conda_store_dump import CondaStoreDump
from registry.cli.conda_store_records import Content, Old
from registry.cli.remote import RemoteError

SPEC = {"name": "fore", "channels": ["conda-forge"], "dependencies": ["python", "a\tb\\c"]}
WHEELS = {"name": "wheels", "dependencies": ["python", {"pip": ["thing"]}]}
SENT = {"name": "sent", "lockfile": {"version": 1, "package": []}}
AT = "2024-03-01 09:30:00.25"


def block(table: str, columns: str, *rows: tuple[object, ...]) -> str:
    lines = ["\t".join(map(cell, row)) for row in rows]
    return "\n".join([f"COPY public.{table} ({columns}) FROM stdin;", *lines, "\\.", "", ""])


def cell(value: object) -> str:
    if value is None:
        return "\\N"
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


BUILD = (
    "id, specification_id, environment_id, status, status_info, size, scheduled_on, started_on,"
    " ended_on, deleted_on, hash, build_key_version"
)


def build(number: int, spec: int, environment: int = 1, **more: object) -> tuple[object, ...]:
    row = {
        "status": "COMPLETED",
        "info": None,
        "deleted": None,
        "hash": None,
        "version": 2,
    } | more
    return (
        *(number, spec, environment, row["status"], row["info"], 1, AT, AT, AT, row["deleted"]),
        *(row["hash"], row["version"]),
    )


def dump() -> str:
    return "".join(
        [
            "-- PostgreSQL database dump\nSET client_encoding = 'UTF8';\n",
            block(
                "namespace",
                "id, name, deleted_on, metadata_",
                (1, "team", None, {}),
                (2, "ada", None, {"color": "red"}),
                (3, "gone", AT, {}),
            ),
            block(
                "environment",
                "id, namespace_id, name, current_build_id, deleted_on, description",
                (1, 1, "fore", 4, None, "two\nlines"),
                (2, 1, "old", 9, AT, None),
            ),
            block(
                "specification",
                "id, name, spec, sha256, created_on, is_lockfile",
                (1, "fore", SPEC, "abcdefgh12345", AT, "f"),
                (2, "wheels", WHEELS, "wwwwwwww12345", AT, "f"),
                (3, "sent", SENT, "ssssssss12345", AT, "t"),
            ),
            block(
                "build",
                BUILD,
                build(1, 1),
                build(2, 2, version=1),
                build(3, 3, version=3, hash="f" * 32),
                build(4, 1, status="FAILED", info="no\nluck"),
                build(5, 1, deleted=AT),
                build(9, 1, 2),
            ),
            block("build_artifact", "id, build_id, artifact_type, key", (1, 2, "LOCKFILE", "")),
            block(
                "namespace_role_mapping",
                "id, namespace_id, entity, role",
                (1, 2, "team/*", "admin"),
            ),
            block(
                "namespace_role_mapping_v2",
                "id, namespace_id, other_namespace_id, role",
                (1, 1, 2, "developer"),
            ),
            block("keyvaluestore", "id, prefix, key, value", (1, "setting", "x", "[]")),
            block("conda_channel", "id, name, last_update", (1, "https://c.example/main", None)),
            block("conda_package", "id, channel_id, name, version", (1, 1, "python", "3.12")),
            block(
                "conda_package_build",
                "id, package_id, channel_id, build, md5, subdir",
                (7, 1, 1, "h1_0", "0" * 32, "linux-64"),
                (8, 1, 1, "h2_0", "1" * 32, "linux-64"),
            ),
            block("build_conda_package_build", "build_id, conda_package_build_id", (1, 7), (2, 7)),
        ]
    )


def read(path: Path, storage: Path | None = None, *only: str) -> tuple[CondaStoreDump, Old]:
    old = CondaStoreDump(str(path), "conda-store", storage)
    return old, asyncio.run(old.read(only))


def contents(old: CondaStoreDump, found: Old) -> dict[int, Content]:
    return {
        one.id: asyncio.run(old.content(one, with_lock=one.state == "completed"))
        for one in found.builds
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dump.sql"
    path.write_text(dump(), encoding="utf-8")
    return path


def test_everything_but_what_was_deleted_is_read(file: Path) -> None:
    _, found = read(file)
    assert [one.name for one in found.namespaces] == ["team", "ada"]
    assert found.namespaces[1].has_metadata
    (environment,) = found.environments
    assert (environment.path, environment.description) == ("team/fore", "two\nlines")
    assert environment.current_build_id == 4
    assert [one.id for one in found.builds] == [1, 2, 3, 4]
    assert found.builds[3].message == "no\nluck"
    assert found.builds[0].scheduled_on == "2024-03-01T09:30:00.25Z"
    assert [(one.version, one.subject, one.entity, one.role) for one in found.roles] == [
        ("v1", "ada", "team/*", "admin"),
        ("v2", "ada", "team/*", "developer"),
    ]
    assert [one.what for one in found.remarks] == [
        "1 namespaces",
        "1 environments",
        "1 builds",
        "1 settings",
    ]


def test_only_what_is_asked_for_is_read(file: Path) -> None:
    _, found = read(file, None, "ada")
    assert [one.name for one in found.namespaces] == ["ada"]
    assert not found.environments
    assert not found.builds


def test_packages_that_were_noted_stand_for_a_lock_if_there_are_no_others(file: Path) -> None:
    old, found = read(file)
    made = contents(old, found)
    assert made[1].specification == SPEC
    line = f"https://c.example/main/linux-64/python-3.12-h1_0.tar.bz2#{'0' * 32}"
    assert made[1].lock == f"@EXPLICIT\n{line}\n"
    assert made[2].lock is None
    assert "--storage" in made[2].problem
    # What was sent as a lock is in the row itself.
    assert made[3].specification is None
    assert json.loads(made[3].lock or "") == SENT["lockfile"]
    assert made[4] == Content(SPEC, None)


def test_locks_are_found_by_each_version_of_keys(file: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    (storage / "lockfile").mkdir(parents=True)
    for name in (
        "abcdefgh-1709285400-1-fore",
        "wwwwwwww12345-20240301-093000-250000-2-wheels",
        "f" * 32,
    ):
        (storage / "lockfile" / f"{name}.yml").write_text(name)
    made = contents(*read(file, storage))
    assert (made[1].lock or "").startswith("abcdefgh-1709285400")
    assert (made[2].lock or "").endswith("-2-wheels")
    assert made[3].lock == "f" * 32


def test_no_file_outside_of_the_storage_is_read(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "secret").write_text("password")
    key = block("build_artifact", "id, build_id, artifact_type, key", (1, 2, "LOCKFILE", ""))
    bad = block(
        "build_artifact", "id, build_id, artifact_type, key", (1, 2, "LOCKFILE", "../secret")
    )
    (tmp_path / "dump").write_text(dump().replace(key, bad))
    made = contents(*read(tmp_path / "dump", tmp_path / "storage"))
    assert made[2].lock is None


def test_a_dump_may_be_packed(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "dump.sql.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert len(read(packed)[1].builds) == 4


def test_what_is_no_dump_is_told(file: Path, tmp_path: Path) -> None:
    for text, said in [
        ("CREATE TABLE namespace (id integer);\n", "has no table of conda-store with rows"),
        (file.read_text()[: file.read_text().index("two")], "is cut off in the rows of"),
    ]:
        path = tmp_path / "odd"
        path.write_text(text)
        with pytest.raises(RemoteError, match=said):
            read(path)
    with pytest.raises(RemoteError, match="cannot be read"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize(("here", "there"), [(AT, "a day"), ("scheduled_on", "scheduled")])
def test_a_dump_of_another_conda_store_is_told(
    file: Path, tmp_path: Path, here: str, there: str
) -> None:
    other = tmp_path / "other"
    other.write_text(file.read_text().replace(here, there))
    with pytest.raises(RemoteError, match="has other tables than a conda-store of"):
        read(other)
