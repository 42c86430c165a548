"""Stand-in until branch forms lands."""

from dataclasses import dataclass
from typing import Literal

from builder.errors import LockError
from builder.keys import lock_key
from builder.lock import Lock, to_explicit
from builder.platforms import Subdir
from builder.ports import ProgressListener, Store

FormName = Literal[
    "lock",
    "explicit",
    "environment.yml",
    "pixi.lock",
    "archive.tar.gz",
    "archive.tar.zst",
    "image.tar",
    "sbom.spdx.json",
    "sbom.cdx.json",
    "provenance",
]


@dataclass(frozen=True, slots=True)
class FormFile:
    """A form of a lock, in the store."""

    key: str
    size_bytes: int
    media_type: str
    file_name: str


class Forms:
    """Makes forms."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(
        self, lock: Lock, form: FormName, platform: Subdir | None, listen: ProgressListener
    ) -> FormFile:
        """Return a form, made if it is not in the store."""
        if form == "lock":
            size = await self._store.size(lock_key(lock.key))
            return FormFile(lock_key(lock.key), size or 0, "application/yaml", "conda-lock.yml")
        if form != "explicit":
            raise LockError(f"{form} cannot be made yet")
        subdir = platform if platform is not None else next(iter(lock.platforms))
        data = to_explicit(lock, subdir).encode()
        key = f"forms/{lock.key}/{subdir}/explicit"
        await self._store.write(key, data)
        return FormFile(key, len(data), "text/plain; charset=utf-8", f"explicit-{subdir}.txt")
