"""What commands are given: an image name, a file, or the key of a build."""

import re
from functools import partial
from pathlib import Path
from typing import Final

import typer

from builder.inputs import read_request
from builder.keys import lock_key
from builder.lock import Lock, from_yaml
from builder.ports import ProgressListener
from registry.cli.session import split_name, today
from registry.errors import BuildUnknown
from registry.settings import Settings
from registry.sources.source import ENVIRONMENTS
from registry.wiring import Builder

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
    """Return the lock of what ``text`` names.

    Raises:
        BuilderError: It cannot be read or solved.
        BuildUnknown: There is no build of that key in the store.
        BadParameter: There is no such file.
    """
    path = file_of(text)
    if path is not None:
        settings = Settings()
        read = partial(read_request, max_bytes=settings.max_request_bytes, today=today())
        wanted = await builder.workers.run(read, path.read_bytes(), builder.policy)
        return await builder.resolver.settle(wanted, builder.policy, on_progress)
    if _KEY.fullmatch(text):
        return await kept_lock(builder, text)
    spec = await builder.resolver.spec(*split_name(text), builder.policy, today())
    return await builder.resolver.lock(spec, on_progress)


async def kept_lock(builder: Builder, key: str) -> Lock:
    """Return the lock of a build.

    Raises:
        BuildUnknown: There is none of that key in the store.
    """
    data = await builder.store.read(lock_key(key)) if _KEY.fullmatch(key) else None
    if data is None:
        raise BuildUnknown(key)
    return await builder.workers.run(from_yaml, data)
