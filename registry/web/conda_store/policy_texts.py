"""Policies that settings of conda-store stand for, as texts of TOML that can have more in them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError

from registry.errors import ParameterInvalid
from registry.policy.documents import canonical_named_spec

#: Settings that are lists of a policy's table ``packages``.
_PACKAGES: Final = {"conda_required_packages": "required", "conda_included_packages": "default"}
#: Settings that are policies.
POLICY_KEYS: Final = frozenset({"conda_allowed_channels", *_PACKAGES})
#: What is written into a policy of which there is nothing yet.
_DESCRIPTION: Final = "Set by a client of conda-store"


def policy_text(before: str | None, wanted: Mapping[str, Sequence[str]]) -> str | None:
    r"""Return the text of a policy that says what settings want, and what else it said before.

    Args:
        before: What it said; ``None``: there was none.
        wanted: By the settings' keys; an empty list takes the rule out.

    Returns:
        ``None`` if it says nothing any more.

    >>> text = policy_text(None, {"conda_allowed_channels": ["conda-forge"]})
    >>> print(text, end="")
    description = "Set by a client of conda-store"
    <BLANKLINE>
    [channels]
    allowed = ["conda-forge"]
    >>> policy_text(text, {"conda_allowed_channels": []}) is None
    True

    Raises:
        ParameterInvalid: What is wanted is no package, or the text before cannot be changed.
    """
    try:
        document = tomlkit.parse(before) if before is not None else tomlkit.document()
    except TOMLKitError as exc:
        raise ParameterInvalid(
            "the policy that there is cannot be changed by settings: change its text"
        ) from exc
    if before is None:
        document["description"] = _DESCRIPTION
    if "conda_allowed_channels" in wanted:
        _allow(document, wanted["conda_allowed_channels"])
    for key, name in _PACKAGES.items():
        if key in wanted:
            _list(document, key, name, wanted[key])
    says_nothing = document.keys() <= {"description"} and (
        before is None or document.get("description") == _DESCRIPTION
    )
    return None if says_nothing else tomlkit.dumps(document)


def _allow(document: Any, channels: Sequence[str]) -> None:
    if not channels:
        document.pop("channels", None)
        return
    table = document.setdefault("channels", tomlkit.table())
    table["allowed"] = list(dict.fromkeys(channels))


def _list(document: Any, key: str, name: str, specs: Sequence[str]) -> None:
    """Have a list of packages say these; entries that say more of one of them stay as they are."""
    wanted = {_canonical(spec, f"{key}[{place}]"): spec for place, spec in enumerate(specs)}
    entries = document.get("packages", {}).get(name, [])
    known = {_spec_of(entry): entry for entry in entries}
    if not wanted:
        if "packages" in document:
            document["packages"].pop(name, None)
            if not document["packages"]:
                document.pop("packages")
        return
    table = document.setdefault("packages", tomlkit.table())
    table[name] = [known.get(spec, spec) for spec in wanted]


def _canonical(spec: str, place: str) -> str:
    try:
        return canonical_named_spec(spec)
    except ValueError as exc:
        raise ParameterInvalid(f"'{place}' is no package of conda: {exc}") from exc


def _spec_of(entry: Any) -> str:
    """Return the match spec of an entry in one form; the text was understood before."""
    return canonical_named_spec(str(entry if isinstance(entry, str) else entry["spec"]))
