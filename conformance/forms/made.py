"""Every form of one environment of conda packages and wheels, as files."""

import asyncio
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.build.image import Flavour
from builder.exports import EXPORTS, ExportFormat
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.ports import Progress, ProgressListener
from registry.cli.session import NullMetrics
from registry.settings import Settings
from registry.wiring.building import open_builder

#: Libraries with prefixes in them, a noarch package, and wheels with a command.
NAME: Final = "env/click.numpy.pandas/pypi--flask"
TAG: Final = "py3.11"


@dataclass(frozen=True, slots=True)
class Made:
    """What was made, and from which lock."""

    lock: Lock
    files: Mapping[ExportFormat, Path]


def make(settings: Settings, directory: Path) -> Made:
    """Return every form of the environment, each in a file of its own below ``directory``."""
    return asyncio.run(_make(settings, directory))


async def _make(settings: Settings, directory: Path) -> Made:
    def on_progress(_progress: Progress) -> None:
        """Take no note."""

    async with open_builder(settings, NullMetrics()) as builder:
        today = datetime.datetime.now(datetime.UTC).date()
        spec = await builder.resolver.spec(NAME, TAG, builder.policy, today)
        lock = await builder.resolver.lock(spec, on_progress)

        async def build(lock: Lock, flavour: Flavour, on_progress: ProgressListener) -> Digest:
            return (await builder.pipeline.build(lock, flavour, on_progress)).top.digest

        forms = builder.forms(build, None)
        files: dict[ExportFormat, Path] = {}
        for form in EXPORTS:
            made = await forms.get(lock, form, None, on_progress)
            files[form] = directory / form / made.file_name
            files[form].parent.mkdir(parents=True)
            with files[form].open("wb") as file:
                async for chunk in builder.store.stream(made.key):
                    file.write(chunk)
        await forms.close()
    return Made(lock, files)
