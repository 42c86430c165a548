"""YAML of unknown origin: refused where reading it could exhaust memory or the stack."""

from typing import Any, Final

import yaml

from builder.errors import LockError

#: The largest lock files that are known have 10 MB.
MAX_BYTES: Final = 64 * 1024 * 1024

#: A conda-lock file nests five levels; libyaml recurses on the C stack.
_MAX_DEPTH: Final = 20

#: Written in C where PyYAML was built with libyaml: ten times faster.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Always the one in Python, since the two do not write the same bytes.
_DUMPER: Final[Any] = yaml.SafeDumper


def load(data: bytes) -> Any:
    """Return the one document in ``data``.

    Raises:
        LockError: It is not YAML, too large, too deep, or uses aliases: a few lines of those can
            stand for billions of values.
    """
    if len(data) > MAX_BYTES:
        raise LockError(f"the lock file has {len(data)} bytes, and {MAX_BYTES} are allowed")
    try:
        _check_events(data)
        return yaml.load(data, Loader=_LOADER)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError) as exc:
        text = " ".join(str(exc).split())[:200]
        raise LockError(f"the lock file is not YAML: {text}") from exc


def dump(content: Any) -> bytes:
    """Return ``content`` as YAML, with keys in their order and no line folded."""
    text: str = yaml.dump(content, Dumper=_DUMPER, sort_keys=False, width=2**31)
    return text.encode()


def _check_events(data: bytes) -> None:
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise LockError("the lock file uses YAML aliases, which are not allowed")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise LockError(f"the lock file nests more than {_MAX_DEPTH} levels")
