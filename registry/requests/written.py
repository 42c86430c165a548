"""What was asked for as conda-store writes it down: the mapping of an ``environment.yml``."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from lru import LRU

from builder.concurrency.single_flight import SingleFlight
from builder.errors import BuilderError, InputError
from builder.inputs.document import Field, parse_document
from builder.inputs.explicit import is_explicit
from builder.inputs.exported import is_exported
from builder.lock.safe_yaml import MalformedYaml, load
from builder.ports import Workers

#: So many are remembered that are no larger than this, each by its digest.
_REMEMBERED: Final = 500
_SMALL_BYTES: Final = 64 * 1024
#: What is larger is read in another process.
_QUICK_BYTES: Final = 4 * 1024
_PIP: Final = "pip"


class WrittenSpecifications:
    """Reads what versions were asked for by, and remembers it.

    Args:
        workers: Read large files.
        max_bytes: The largest file to read.
    """

    def __init__(self, workers: Workers, max_bytes: int) -> None:
        self._workers = workers
        self._max_bytes = max_bytes
        self._known: LRU[str, bytes] = LRU(_REMEMBERED)
        self._reading: SingleFlight[bytes] = SingleFlight()

    async def of(self, sha256: str, data: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return an object of JSON with what a file asked for, without the environment's name.

        It has ``channels``, ``dependencies``, ``description``, ``prefix`` and ``variables``; of a
        file of conda-lock, ``description`` and ``lockfile``. Of what cannot be read, and of a list
        of exact packages, nothing is asked for by name.

        Args:
            sha256: Hex digits of the file's digest.
            data: Returns the file.
        """
        known = self._known.get(sha256)
        return (
            known
            if known is not None
            else await self._reading.run(sha256, lambda: self._read(sha256, data))
        )

    async def close(self) -> None:
        """Stop reading."""
        await self._reading.close()

    async def _read(self, sha256: str, data: Callable[[], Awaitable[bytes]]) -> bytes:
        found = await data()
        if len(found) <= _QUICK_BYTES:
            written = write(found, self._max_bytes)
        else:
            try:
                written = await self._workers.run(partial(write, max_bytes=self._max_bytes), found)
            except BuilderError:  # the process was lost: the next one may not be
                return _written({})
        if len(written) <= _SMALL_BYTES:
            self._known[sha256] = written
        return written


def write(data: bytes, max_bytes: int) -> bytes:
    r"""Return the object of JSON.

    >>> json.loads(write(b"dependencies: [numpy, {pip: [flask]}]\nvariables: {A: 1.10}", 100))
    ... # doctest: +NORMALIZE_WHITESPACE
    {'channels': [], 'dependencies': ['numpy', {'pip': ['flask']}], 'description': '',
     'prefix': None, 'variables': {'A': '1.10'}}
    """
    if len(data) > max_bytes:
        return _written({})
    try:
        text = data.decode("utf-8-sig")
        if is_explicit(text):
            return _written({})
        if is_exported(text):
            lines = [line.strip() for line in text.splitlines()]
            wanted = [line for line in lines if line and not line.startswith("#")]
            return _written({"dependencies": wanted})
        if "metadata" in text and "package" in text:  # nothing else is a lock
            locked = load(data)
            if isinstance(locked, dict) and {"package", "metadata"} <= locked.keys():
                return _dumped({"description": "", "lockfile": locked})
        return _written(_of_mapping(dict(parse_document(text).entries)))
    except (UnicodeDecodeError, MalformedYaml, InputError, ValueError, RecursionError):
        return _written({})


def _of_mapping(entries: Mapping[str, Field]) -> Mapping[str, Any]:
    nothing = Field("nothing")
    dependencies: list[Any] = []
    pip: list[str] = []
    for field in entries.get("dependencies", entries.get("specs", nothing)).elements:
        if field.kind != "mapping":
            dependencies.append(field.written)
            continue
        for key, value in field.entries:
            if key == _PIP:
                pip += _texts(value)
            else:  # what micromamba selects by a condition
                dependencies += _texts(value)
    pip += _texts(entries.get(_PIP, nothing))
    variables = entries.get("variables", nothing)
    return {
        "channels": _texts(entries.get("channels", nothing)),
        "dependencies": [*dependencies, *([{_PIP: pip}] if pip else [])],
        "description": entries.get("description", nothing).written,
        "prefix": entries.get("prefix", nothing).written or None,
        "variables": {key: _number_or_text(value) for key, value in variables.entries}
        if variables.kind == "mapping"
        else None,
    }


def _texts(field: Field) -> Sequence[str]:
    fields = field.elements if field.kind == "list" else (field,)
    return [one.written for one in fields if one.kind not in {"nothing", "list", "mapping"}]


def _number_or_text(field: Field) -> int | str:
    is_number = field.kind == "number" and str(field.written).isdecimal()
    return int(field.written) if is_number and len(field.written) <= 15 else field.written


def _written(found: Mapping[str, Any]) -> bytes:
    default: dict[str, Any] = {
        "channels": [],
        "dependencies": [],
        "description": "",
        "prefix": None,
    }
    return _dumped({**default, "variables": None, **found})


def _dumped(found: Mapping[str, Any]) -> bytes:
    """Return JSON; what it has no kind for is text, such as the dates of YAML.

    Raises:
        ValueError: It has a number that is none.
    """
    return json.dumps(found, separators=(",", ":"), default=str, allow_nan=False).encode("ascii")
