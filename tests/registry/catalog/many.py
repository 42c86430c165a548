"""A large catalog, written as rows: what lists and searches are measured over."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, insert

from registry.catalog.lookup import search_text
from registry.database import Database, tables
from registry.database.export import continue_sequences

_BATCH = 2000


async def fill(
    database: Database,
    *,
    namespaces: int = 200,
    environments: int = 10_000,
    versions: int = 10,
    packages: int = 20,
    facts: bool = False,
) -> None:
    """Write environments, each with versions of which the newest is active, and their events.

    Args:
        database: Where to.
        namespaces: How many there are.
        environments: How many there are in all.
        versions: How many each has.
        packages: How many each has of the newest two locks.
        facts: Whether also what is known of images, activations, findings, and days of use.
    """
    now = database.now() - timedelta(days=1)
    names = [f"package-{number}" for number in range(packages * 5)]

    def namespace_rows() -> Iterator[dict[str, Any]]:
        for one in range(namespaces):
            slug = f"team-{one:04}"
            text = search_text(slug, slug, "")
            yield {
                "id": one + 1,
                "name": slug,
                "slug": slug,
                "search_text": text,
                "created_at": now,
                "owner": "ada",
            }

    def environment_rows() -> Iterator[dict[str, Any]]:
        for one in range(environments):
            namespace = one % namespaces
            slug = f"env-{one:05}"
            path = f"team-{namespace:04}/{slug}"
            yield {
                "id": one + 1,
                "namespace_id": namespace + 1,
                "name": slug,
                "slug": slug,
                "path": path,
                "description": f"what number {one} is for",
                "search_text": search_text(slug, path, f"what number {one} is for"),
                "active_version": versions,
                "active_key": key(one, versions),
                "last_version": versions,
                "created_at": now,
                "updated_at": now,
            }

    def version_rows() -> Iterator[dict[str, Any]]:
        for one in range(environments):
            for number in range(1, versions + 1):
                yield {
                    "environment_id": one + 1,
                    "number": number,
                    "specification_id": 1,
                    "key": key(one, number),
                    "state": "built",
                    "reason": "person",
                    "created_at": now,
                    "started_at": now,
                    "ended_at": now,
                }

    def event_rows() -> Iterator[dict[str, Any]]:
        for one in range(environments):
            for number in range(1, versions + 1):
                yield {
                    "at": now,
                    "action": "version.built",
                    "namespace": f"team-{one % namespaces:04}",
                    "environment": f"env-{one:05}",
                    "number": number,
                }

    def package_rows() -> Iterator[dict[str, Any]]:
        for one in range(0, environments, 3):
            for number in range(versions - 1, versions + 1):
                for part in range(packages):
                    yield {
                        "key": key(one, number),
                        "platform": "linux-64",
                        "manager": "conda",
                        "name": names[(one * 7 + part) % len(names)] if part else "openssl",
                        "version": f"3.{(one // 3) % 50}.{number}",
                        "build": "0",
                        "channel": "c",
                        "package_id": number * 1000 + part + 1 if facts else None,
                    }

    specification = {"id": 1, "sha256": "0" * 64, "data": b"{}", "created_at": now}
    everything: list[tuple[Table, Iterator[dict[str, Any]]]] = [
        (tables.namespace, namespace_rows()),
        (tables.environment, environment_rows()),
        (tables.specification, iter([specification])),
        (tables.version, version_rows()),
        (tables.event, event_rows()),
        (tables.lock_package, package_rows()),
    ]
    if facts:
        everything += _facts(now, environments, versions, names[:packages])
    for table, rows in everything:
        batch: list[dict[str, Any]] = []
        async with database.writing() as connection:
            for row in rows:
                batch.append(row)
                if len(batch) == _BATCH:
                    await connection.execute(insert(table), batch)
                    batch = []
            if batch:
                await connection.execute(insert(table), batch)
    if database.is_shared:
        async with database.writing() as connection:
            await continue_sequences(connection)


def key(environment: int, number: int) -> str:
    """Return the key of a version: a third of all has a lock of its own."""
    which = f"{environment // 3} {number}"
    return hashlib.md5(which.encode(), usedforsecurity=False).hexdigest()


def _facts(
    now: datetime, environments: int, versions: int, names: Sequence[str]
) -> list[tuple[Table, Iterator[dict[str, Any]]]]:
    """Return rows of what pages show of environments and of the newest two versions of each."""

    def exact_rows() -> Iterator[dict[str, Any]]:
        for number in range(versions - 1, versions + 1):
            for part in range(len(names)):
                yield {
                    "id": number * 1000 + part + 1,
                    "facts": f"{number:016x}{part:016x}",
                    "manager": "conda",
                    "name": names[part] if part else "openssl",
                    "version": f"3.{number}",
                    "build": "0",
                    "channel": "c",
                    "licence": f"L-{part % 5}",
                    "project": "",
                    "size_bytes": 1000 + part,
                }

    def platform_rows() -> Iterator[dict[str, Any]]:
        for one in range(0, environments, 3):
            for number in range(versions - 1, versions + 1):
                sums = {"base": "", "packages": len(names), "size_bytes": len(names) * 1000}
                yield {"key": key(one, number), "platform": "linux-64", **sums}

    def blob_rows() -> Iterator[dict[str, Any]]:
        for one in range(0, environments, 3):
            for number in range(versions - 1, versions + 1):
                for part in range(12):
                    digest = f"sha256:{(one // 3 % 50) * 100 + number * 12 + part:064x}"
                    yield {"key": key(one, number), "digest": digest, "size_bytes": 1000 + part}

    def activation_rows() -> Iterator[dict[str, Any]]:
        for one in range(environments):
            yield {
                "environment_id": one + 1,
                "number": versions,
                "key": key(one, versions),
                "at": now,
            }

    def day_rows() -> Iterator[dict[str, Any]]:
        for one in range(environments):
            for day in range(10):
                at = None if day > 5 else now - timedelta(days=20 - day)
                date = f"2026-10-{day + 1:02}"
                size = 1000 if day % 3 else None
                yield {
                    "environment_id": one + 1,
                    "day": date,
                    "pulls": 0 if at is None else 3,
                    "last_at": at,
                    "own_bytes": size,
                    "shared_bytes": size,
                }

    def finding_rows() -> Iterator[dict[str, Any]]:
        for one in range(0, environments, 5):
            for number in range(versions - 1, versions + 1):
                yield {
                    "environment_id": one + 1,
                    "key": key(one, number),
                    "policy": "company",
                    "mode": "warn",
                    "kind": "advisories",
                    "platform": "linux-64",
                    "manager": "conda",
                    "name": "openssl",
                    "version": "3",
                    "advisory": "GHSA-1",
                    "sentence": "openssl has a hole",
                    "found_at": now,
                }

    return [
        (tables.package, exact_rows()),
        (tables.lock_platform, platform_rows()),
        (tables.build_blob, blob_rows()),
        (tables.activation, activation_rows()),
        (tables.usage_day, day_rows()),
        (tables.finding, finding_rows()),
    ]
