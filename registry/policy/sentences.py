"""Policies in plain English: a sentence for each rule."""

from collections.abc import Iterator, Sequence

from registry.policy.documents import (
    AdvisoriesTable,
    ChannelsTable,
    LicencesTable,
    LimitsTable,
    PackagesTable,
    PolicyDocument,
    PypiTable,
    RequiredEntry,
)

#: So many names stand in a sentence at most.
_MAX_NAMES = 8
_UNITS = ("B", "kB", "MB", "GB", "TB")


def sentences_of(document: PolicyDocument) -> Iterator[str]:
    """Yield what a policy says; a part of it that says nothing yields nothing."""
    if document.mode == "warn":
        yield "What breaks one of these rules is built all the same, with a warning:"
    if document.channels:
        yield from _channels(document.channels)
    if document.packages:
        yield from _packages(document.packages)
    if document.licences:
        yield from _licences(document.licences)
    if document.age:
        exempt = f", other than {listed(document.age.exempt)}" if document.age.exempt else ""
        yield f"Packages were published at least {document.age.minimum} ago{exempt}."
    if document.advisories:
        yield _advisories(document.advisories)
    if document.bases:
        yield f"Images are built on {listed(document.bases.allowed, 'or')}."
    if document.platforms:
        yield f"Images are for {listed(document.platforms.allowed)}."
    if document.pypi:
        yield from _pypi(document.pypi)
    if document.limits:
        yield from _limits(document.limits)


def listed(names: Sequence[str], word: str = "and") -> str:
    """Return names in one phrase; of many, the first ones and how many more there are.

    >>> listed(["a", "b", "c"]), listed(["a"]), listed(list("abcdefghij"))
    ('a, b and c', 'a', 'a, b, c, d, e, f, g, h and 2 more')
    """
    if len(names) > _MAX_NAMES:
        names = [*names[:_MAX_NAMES], f"{len(names) - _MAX_NAMES} more"]
        word = "and"
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last


def sized(size_bytes: int) -> str:
    """Return a size as people write it.

    >>> sized(5_000_000_000), sized(1536), sized(12)
    ('5 GB', '1.54 kB', '12 B')
    """
    size: float = size_bytes
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {_UNITS[-1]}"


def _channels(table: ChannelsTable) -> Iterator[str]:
    order = ", in this order of priority" if len(table.allowed) > 1 else ""
    yield f"Packages come from {listed(table.allowed)} alone{order}."
    for name, globs in sorted(table.only_in.items()):
        where = f"in {listed(globs)} alone" if globs else "nowhere"
        yield f"The channel {name} is allowed {where}."


def _packages(table: PackagesTable) -> Iterator[str]:
    for denied in table.denied:
        of = " of PyPI" if denied.manager == "pypi" else ""
        yield f"{denied.spec}{of} is not installed{_because(denied.reason)}."
    for entry in table.required:
        yield f"Each environment{_beside(entry)} has {entry.spec}{_because(entry.reason)}."
    for entry in table.default:
        yield (
            f"Each environment{_beside(entry)} has {entry.spec}, unless it says otherwise"
            f"{_because(entry.reason)}."
        )


def _licences(table: LicencesTable) -> Iterator[str]:
    if table.allowed:
        yield f"Packages have one of the licences {listed(table.allowed)}."
    if table.denied:
        yield f"Packages do not have the licence {listed(table.denied, 'or')}."
    if table.unknown == "deny":
        yield "Packages whose licence is not known are not installed."
    elif table.allowed or table.denied:
        yield "Packages whose licence is not known are installed."


def _advisories(table: AdvisoriesTable) -> str:
    which = {
        "low": "",
        "medium": " of medium, high or critical severity",
        "high": " of high or critical severity",
        "critical": " of critical severity",
    }[table.minimum_severity]
    unscored = ""
    if which and table.unscored:
        unscored = ", or of one that is not known,"
    elif not which and not table.unscored:
        unscored = " whose severity is known"
    are = "is" if len(table.ignore) == 1 else "are"
    ignored = f"; {listed(table.ignore)} {are} set aside" if table.ignore else ""
    return f"Packages with a known vulnerability{which}{unscored} are not installed{ignored}."


def _pypi(table: PypiTable) -> Iterator[str]:
    if not table.allowed:
        yield "Nothing is installed from PyPI."
    elif table.projects:
        yield f"Of PyPI, {listed(table.projects)} alone may be installed."


def _limits(table: LimitsTable) -> Iterator[str]:
    if table.packages is not None:
        yield f"An environment has at most {table.packages} packages."
    if table.size is not None:
        yield f"The packages of an environment have at most {sized(table.size)} together."


def _beside(entry: RequiredEntry) -> str:
    return f" with {entry.condition}" if entry.condition else ""


def _because(reason: str) -> str:
    return f" ({reason.rstrip('.')})" if reason else ""
