"""A policy: what administrators, or the admins of a namespace, have set."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import ValidationError

from builder.rules.model import Mode
from registry.auth.wildcards import read_glob
from registry.errors import PolicyTextInvalid
from registry.policy.documents import PolicyDocument
from registry.policy.reading import Path, TomlInvalid, lines_of, read_toml
from registry.policy.sentences import sentences_of

#: Where a policy is kept.
PolicyPlace = Literal["file", "database"]

#: What the own policy of a namespace is called.
OWN: Final = "own"
#: What no policy of an administrator is called: ``POST /policies/test`` tries one.
_TAKEN: Final = frozenset({OWN, "test"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Policy:
    """What somebody has set, understood."""

    name: str
    #: As it was written.
    text: str
    document: PolicyDocument = field(repr=False, compare=False)
    #: Counted from 1 in the database; 0 for a file's.
    version: int = 0
    #: The namespace whose own policy it is, by its slug; ``None``: an administrator's.
    namespace: str | None = None
    source: PolicyPlace = "file"

    @property
    def mode(self) -> Mode:
        """Whether it refuses, or warns."""
        return self.document.mode

    @property
    def contact(self) -> str:
        """Who to ask; may be empty."""
        return self.document.contact

    @property
    def description(self) -> str:
        """What it is for; may be empty."""
        return self.document.description

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Globs of the slugs of namespaces in which it holds."""
        return (self.namespace,) if self.namespace else tuple(self.document.namespaces)

    @property
    def digest(self) -> str:
        """Twelve hex digits that stand for the text."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    def holds_in(self, namespace: str | None) -> bool:
        """Tell whether it holds in a namespace.

        Args:
            namespace: By its slug; ``None``: for what belongs to no namespace, names of images such
                as ``env/numpy`` and ``/api/v1/builds``.
        """
        if self.namespace is not None:
            return namespace == self.namespace
        return holds_in(self.document.namespaces, namespace)

    def sentences(self) -> tuple[str, ...]:
        """Return what it says in plain English, a sentence for each rule."""
        return tuple(sentences_of(self.document))


def holds_in(globs: Sequence[str], namespace: str | None) -> bool:
    """Tell whether one of the globs means a namespace.

    >>> holds_in(["team-*"], "team-a"), holds_in(["team-*"], None), holds_in(["*"], None)
    (True, False, True)
    """
    return any(
        glob == "*" or (namespace is not None and read_glob(glob).matches(namespace))
        for glob in globs
    )


def is_policy_name(text: str) -> bool:
    """Tell whether a policy that is no namespace's own can have that name.

    >>> is_policy_name("company"), is_policy_name("a b"), is_policy_name("own")
    (True, False, False)
    """
    return text not in _TAKEN and _NAME.fullmatch(text) is not None


def read_policy(
    name: str,
    text: str,
    *,
    version: int = 0,
    namespace: str | None = None,
    source: PolicyPlace = "file",
) -> Policy:
    """Return the policy that a text is.

    A quarter of a MiB takes seconds: call it in a thread.

    Args:
        name: What it is called, ``"company"``; of a namespace's own: :data:`OWN`.
        text: TOML.
        version: As in :class:`Policy`.
        namespace: The namespace whose own policy it is.
        source: Where it is kept.

    Raises:
        PolicyTextInvalid: It says nothing that can be used; it names file, line and field.
    """
    file = f"{name}.toml"
    if not (name == OWN if namespace else is_policy_name(name)):
        raise PolicyTextInvalid(
            file,
            f"{name[:80]!r} is no name of a policy: write up to 64 letters, digits, '.', '_' and"
            f" '-', but neither 'own' nor 'test', which mean something else",
        )
    try:
        read = read_toml(text)
    except TomlInvalid as exc:
        raise PolicyTextInvalid(file, str(exc), line=exc.line) from exc
    try:
        document = PolicyDocument.model_validate(read)
    except ValidationError as exc:
        raise _of_validation(file, text, exc) from exc
    if namespace and document.namespaces != ["*"]:
        line = lines_of(text).get(("namespaces",))
        raise PolicyTextInvalid(
            file,
            "a namespace's own policy holds in that namespace alone: take the field out",
            line=line,
            field="namespaces",
        )
    return Policy(name, text, document, version, namespace, source)


def _of_validation(file: str, text: str, error: ValidationError) -> PolicyTextInvalid:
    """Return the error for what stands first in the text."""
    lines = lines_of(text)
    places = [(*_placed(found["loc"], lines), found) for found in error.errors(include_url=False)]
    # A field that is misspelt is missing, too: what was written comes first.
    line, path, first = min(
        places, key=lambda place: (place[2]["type"] == "missing", place[0], len(place[1]))
    )
    if first["type"] == "missing":
        path = (*path, str(first["loc"][-1]))
        reason = "it has to be there, and is not"
    elif first["type"] == "extra_forbidden":
        known = ", ".join(sorted(_known_beside(path)))
        reason = f"this is not known here: write {known}"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        reason = reason[:1].lower() + reason[1:]
    return PolicyTextInvalid(file, reason[:_MAX_REASON], line=line, field=written_path(path))


def _placed(loc: tuple[int | str, ...], lines: object) -> tuple[int, Path]:
    """Return the line of a field, and as much of its path as the text has."""
    assert isinstance(lines, dict)
    for end in range(len(loc), 0, -1):
        if loc[:end] in lines:
            return lines[loc[:end]], loc[:end]
    return 1, ()


def _known_beside(path: Path) -> Iterator[str]:
    model: object = PolicyDocument
    for part in path[:-1]:
        fields = getattr(model, "model_fields", {})
        if isinstance(part, str) and part in fields:
            model = _model_in(fields[part].annotation)
    for name, found in getattr(model, "model_fields", {}).items():
        yield found.alias or name


def _model_in(annotation: object) -> object:
    """Return the table that an annotation is about, if any."""
    if hasattr(annotation, "model_fields"):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def written_path(path: Path) -> str:
    r"""Return a path as people write one.

    >>> written_path(("packages", "denied", 0, "spec"))
    'packages.denied[0].spec'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part[:60] if part.isprintable() else repr(part[:60])
            text += f".{shown}" if text else shown
    return text
