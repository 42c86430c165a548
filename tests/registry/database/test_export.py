from pathlib import Path

import pytest

from registry.catalog.assessing import Assessor
from registry.catalog.blocks import Blocks
from registry.catalog.findings import Findings
from registry.catalog.judging import Judging
from registry.catalog.policies import Policies
from registry.catalog.ports import LockedPackage
from registry.catalog.records import EVERYTHING
from registry.database import Database
from registry.database.export import export_lines, import_lines
from registry.database.migrations.versions import HEAD
from registry.errors import ExportInvalid
from tests.registry.catalog.house import ADA, House, key_of
from tests.registry.catalog.test_judging import Threads
from tests.registry.databases import BOTH, Postgres, new_url, opened

pytestmark = pytest.mark.anyio

NO_PAD = '[packages]\ndenied = ["left-pad"]\n'


async def filled(database: Database) -> House:
    house = House(database)
    await house.environment("ada/notebook")
    await house.built("ada/notebook", b"one")
    await house.built("ada/notebook", b"two")
    await house.environment("ada/gone")
    await house.environments.delete(ADA, "ada", "gone")
    await house.principals.log_in_oidc("https://id", "1", "bob", groups=["data"])
    await house.tokens.create(ADA, "ada", "laptop", scopes=["team/*:pull"])
    await house.grants.give(
        ADA, subject_kind="everyone", subject=None, namespace_glob="ada", role="viewer"
    )
    policies = Policies(database, house.book, house.follower.settled)
    await policies.set(ADA, "company", NO_PAD)
    await policies.set(ADA, "company", 'mode = "warn"\n' + NO_PAD)
    await policies.set(ADA, "own", NO_PAD, namespace="ada")
    await Blocks(database).block(ADA, "ab" * 16, "it has a backdoor")
    pad = LockedPackage("linux-64", "conda", "left-pad", "1.0", "0", "main", licence="MIT")
    house.packages[key_of(b"pad")] = [pad]
    await house.built("ada/notebook", b"pad")
    assert await Judging(
        database, house.book, Assessor(database, Threads()), "judge", settled=house.follower.settled
    ).look()
    await house.versions.ask(ADA, "ada", "notebook", b"\xff\0three")
    return house


async def exported(database: Database) -> list[str]:
    return [line async for line in export_lines(database)]


@pytest.mark.parametrize("to", BOTH)
async def test_everything_is_the_same_elsewhere(
    database: Database, postgres: Postgres, tmp_path: Path, to: str
) -> None:
    before = await filled(database)
    lines = await exported(database)
    (tmp_path / "other").mkdir()
    async with opened(new_url(to, postgres, tmp_path / "other")) as other:
        assert await import_lines(other, lines) == len(lines) - 2
        assert (await exported(other))[1:] == lines[1:]
        house = House(other)
        await house.follower.start()
        assert house.memory.pointers == before.memory.pointers
        assert house.memory.tokens == before.memory.tokens
        assert house.memory.grants == before.memory.grants
        assert house.book.policies() == before.book.policies()
        assert [one.key for one in (await Blocks(other).list()).items] == ["ab" * 16]
        found = (await Findings(other).list(visible=EVERYTHING)).items
        assert {(one.policy, one.key) for one in found} == {
            ("company", key_of(b"pad")),
            ("own", key_of(b"pad")),
        }
        assert (await house.ended("ada/notebook", 4)).key == key_of(b"\xff\0three")
        assert await house.versions.specification("ada", "notebook", 4) == b"\xff\0three"
        await house.environments.restore(ADA, "ada", "gone")
        await house.environments.create(ADA, "ada", "new")
        assert len((await house.environments.search(EVERYTHING)).items) == 3


async def test_a_file_that_is_not_whole_changes_nothing(database: Database, tmp_path: Path) -> None:
    await filled(database)
    lines = await exported(database)
    odd = lines[3].replace('"source":', '"sauce":', 1)
    async with opened(f"sqlite:///{tmp_path / 'other.db'}") as other:
        for wrong in (
            [],
            lines[:-1],
            lines[1:],
            [*lines[:5], *lines[6:]],
            [*lines, lines[5]],
            [*lines[:3], "{", *lines[3:]],
            [*lines[:3], "[]", *lines[3:]],
            [*lines[:3], odd, *lines[4:]],
            [*lines[:3], lines[3], *lines[3:]],
            [lines[0].replace('"format":1', '"format":2'), *lines[1:]],
            [lines[0].replace(f'"{HEAD}"', '"0000"'), *lines[1:]],
        ):
            with pytest.raises(ExportInvalid):
                await import_lines(other, wrong)
        assert len(await exported(other)) == 2
        await import_lines(other, lines)
        with pytest.raises(ExportInvalid, match="is not empty"):
            await import_lines(other, lines)
