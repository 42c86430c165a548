"""What commands are given: an image name, a file, or the key of a build."""

import re
from functools import partial
from pathlib import Path
from typing import Final

import typer

from builder.inputs import PackageList, read_request
from builder.keys import lock_key
from builder.lock import Lock, Told, from_yaml
from builder.ports import ProgressListener
from builder.spec import EnvironmentSpec
from registry.cli.session import split_name, today
from registry.errors import BuildUnknown
from registry.settings import Settings
from registry.sources.source import ENVIRONMENTS
from registry.wiring.building import Builder
from registry.wiring.rules import open_local_judge

#: What is said of such an argument in ``--help``.
ASKED: Final = "an image name (env/numpy:py3.12), a file (environment.yml, a lock), or a key"

_SUFFIXES: Final = frozenset({".yml", ".yaml", ".lock", ".txt", ".json"})
_KEY: Final = re.compile(r"[0-9a-f]{32}")


def file_of(text: str) -> Path | None:
    """Return the file that ``text`` names, or ``None`` if it is no file's name.

    ``env/ruamel.yaml`` is an image's name, unless there is such a file.

    Raises:
        BadParameter: It is the name of a file that is not there.
    """
    path = Path(text)
    if path.is_file():
        return path
    if path.suffix in _SUFFIXES and not text.startswith(ENVIRONMENTS):
        raise typer.BadParameter(f"there is no file {text!r}")
    return None


async def lock_of(builder: Builder, text: str, on_progress: ProgressListener) -> Lock:
    """Return the lock of what ``text`` names; what policies did to it is told.

    Raises:
        BuilderError: It cannot be read or solved, or a policy refuses it.
        BuildBlocked: It is blocked.
        BuildUnknown: There is no build of that key in the store.
        BadParameter: There is no such file.
    """
    path = file_of(text)
    if path is None and _KEY.fullmatch(text):
        return await kept_lock(builder, text)
    async with open_local_judge(builder) as judge:
        wanted: EnvironmentSpec | Lock | PackageList
        if path is not None:
            settings = Settings()
            read = partial(read_request, max_bytes=settings.max_request_bytes, today=today())
            wanted = await builder.workers.run(read, path.read_bytes(), builder.policy)
        else:
            wanted = await builder.resolver.spec(*split_name(text), builder.policy, today())
        rules, told = await judge.everywhere(), Told()
        if isinstance(wanted, EnvironmentSpec):
            spec, told = await judge.apply(wanted, rules)
            lock = await builder.resolver.lock(spec, on_progress, rules)
        else:
            settled = await builder.resolver.settle(wanted, builder.policy, on_progress)
            lock = await judge.informed(settled, rules)
        told += lock.told + await judge.judge(lock, rules)
    for sentence in (*told.added, *told.left_out, *told.warnings):
        typer.echo(f"policy: {sentence}", err=True)
    return lock


async def kept_lock(builder: Builder, key: str) -> Lock:
    """Return the lock of a build.

    Raises:
        BuildUnknown: There is none of that key in the store.
        BuildBlocked: It is blocked.
    """
    data = await builder.store.read(lock_key(key)) if _KEY.fullmatch(key) else None
    if data is None:
        raise BuildUnknown(key)
    async with open_local_judge(builder) as judge:
        await judge.blocked.require(key)
    return await builder.workers.run(from_yaml, data)
