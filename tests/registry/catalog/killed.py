"""A server that changes environments as fast as it can, until it is killed: ``URL STORE SEED``."""

import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path

from registry.catalog.outbox import OutboxWriter
from registry.database import open_database
from registry.errors import CatalogError
from registry.sources.directory import dump_pointer
from registry.storage.filesystem import FilesystemStore
from tests.registry.catalog.house import ADA, House


async def change(house: House, choose: random.Random) -> None:
    """Do something to one of a few environments."""
    namespace, name = choose.choice(["ada", "bob"]), choose.choice(["one", "two"])
    match choose.randrange(8):
        case 0:
            await house.environments.create(ADA, namespace, name)
        case 1 | 2 | 3:
            await house.versions.ask(ADA, namespace, name, b"%d" % choose.randrange(1000))
        case 4:
            await house.versions.activate(ADA, namespace, name, choose.randrange(1, 4))
        case 5:
            await house.environments.move(ADA, namespace, name, choose.choice(["ada", "bob"]), name)
        case 6:
            await house.environments.update(ADA, namespace, name, description=str(choose.random()))
        case _:
            if choose.random() < 0.5:
                await house.environments.delete(ADA, namespace, name)
            else:
                await house.environments.restore(ADA, namespace, name)


async def main(url: str, directory: Path, seed: int) -> None:
    """Change things for ever."""
    choose = random.Random(seed)
    store = FilesystemStore(directory)
    async with open_database(url) as database:
        house = House(database, f"server-{seed}")
        writer = OutboxWriter(database, store, dump_pointer, house.follower.changed)
        async with asyncio.TaskGroup() as group:
            for work in (house.follower.run(), house.runner.run(), writer.run()):
                group.create_task(work)
            for name in ("ada", "bob"):
                with suppress(CatalogError):
                    await house.namespaces.create(ADA, name)
            while True:
                with suppress(CatalogError):
                    await change(house, choose)
                    print("changed", flush=True)  # noqa: T201 (whoever kills it counts these)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
