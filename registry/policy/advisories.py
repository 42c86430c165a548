"""Advisories in OSV format, as databases of vulnerabilities publish them.

Of a document that describes packages of other ecosystems, or that was withdrawn, nothing is taken.
What is not understood is refused by its place, and never guessed.

Source:
    OSV schema 1.7.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from builder.lock.safe_yaml import MalformedYaml, compose, most_values
from builder.rules.model import Advisory, Affected, AffectedRange
from registry.errors import PolicyTextInvalid
from registry.policy.affected import FieldInvalid, joined, mapping, read_affected, sequence, text_of
from registry.policy.documents import Severity
from registry.policy.policy import written_path
from registry.policy.severity import severity_of_vector, severity_of_word, worst

#: The size of one document, or of a list of them, at most.
MAX_BYTES: Final = 32 * 1024 * 1024
#: A document that has none of these is none: databases are checked out with files of their own.
_TELLING: Final = frozenset({"id", "affected", "modified", "vulns"})
_MAX_ID: Final = 100
_MAX_SUMMARY: Final = 200
_MAX_ALIASES: Final = 500
#: What reports of malicious packages begin with, which have no score.
_MALICIOUS: Final = "MAL-"
_NULL_TAG: Final = "tag:yaml.org,2002:null"


def parse_advisories(file: str, data: bytes) -> tuple[Advisory, ...]:
    """Return what a file says of packages that are installed here.

    It holds one advisory, a list of them, or what OSV's API answers (``{"vulns": […]}``).

    Args:
        file: Its name, for errors; without ``.json``, ``.yaml`` or ``.yml`` at the end of it, the
            text tells which of them it is.
        data: At most :data:`MAX_BYTES`.

    Raises:
        PolicyTextInvalid: It says something else. The sentence names file, line and field.
    """
    if len(data) > MAX_BYTES:
        raise PolicyTextInvalid(file, f"it is larger than {MAX_BYTES // 1024**2} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise PolicyTextInvalid(file, "it is not text in UTF-8", line=line) from exc
    is_json = file.lower().endswith(".json") or (
        not file.lower().endswith((".yaml", ".yml")) and text.lstrip()[:1] in {"{", "["}
    )
    content = _json(file, text) if is_json else _yaml(file, text)
    try:
        return tuple(_all(content))
    except FieldInvalid as exc:
        raise PolicyTextInvalid(
            file, str(exc), line=_line_of(text, exc.path), field=written_path(exc.path)
        ) from exc


def read_advisory(document: Any, *path: str | int) -> Advisory | None:
    """Return what one advisory says.

    ``None`` stands for one that was withdrawn, or is about nothing that is installed here.

    Args:
        document: Parsed JSON or YAML.
        path: Where it stands, for errors.

    Raises:
        FieldInvalid: It is not as the schema says.
    """
    if not isinstance(document, dict) or not document:
        raise FieldInvalid("an advisory in OSV format has to stand here", *path)
    of = mapping(document, *path)
    number = text_of(of.get("id"), _MAX_ID, *path, "id")
    entries = sequence(of.get("affected"), *path, "affected")
    affected = [
        found
        for index, entry in enumerate(entries)
        if (found := read_affected(entry, *path, "affected", index)) is not None
    ]
    aliases = sequence(of.get("aliases"), *path, "aliases")[:_MAX_ALIASES]
    names = [
        text_of(alias, _MAX_ID, *path, "aliases", index) for index, alias in enumerate(aliases)
    ]
    if of.get("withdrawn") is not None or not affected:
        return None
    return Advisory(
        number,
        _joined(affected),
        _summary(of),
        tuple(sorted(set(names) - {number})),
        _severity(of, number, *path) or "",
    )


def united(advisories: Iterable[Advisory]) -> tuple[Advisory, ...]:
    """Return advisories sorted by id; of those with the same one, what all of them say."""
    by_id: dict[str, list[Advisory]] = {}
    for advisory in advisories:
        by_id.setdefault(advisory.id, []).append(advisory)
    return tuple(_union(by_id[number]) for number in sorted(by_id))


def _union(same: Sequence[Advisory]) -> Advisory:
    if len(same) == 1:
        return same[0]
    first, *_ = sorted(same, key=repr)
    return replace(
        first,
        affected=_joined(entry for one in same for entry in one.affected),
        summary=max((one.summary for one in same), key=lambda text: (len(text), text)),
        aliases=tuple(sorted({alias for one in same for alias in one.aliases})),
        severity=worst(severity_of_word(one.severity) for one in same) or "",
    )


def _joined(affected: Iterable[Affected]) -> tuple[Affected, ...]:
    """Return one entry for each package, sorted."""
    found: dict[tuple[str, str], tuple[Affected, set[AffectedRange], set[str]]] = {}
    for entry in affected:
        _, ranges, versions = found.setdefault((entry.manager, entry.name), (entry, set(), set()))
        ranges.update(entry.ranges)
        versions.update(entry.versions)
    return tuple(
        Affected(
            entry.manager,
            entry.name,
            joined(ranges),
            tuple(sorted(versions)),
        )
        for _, (entry, ranges, versions) in sorted(found.items())
    )


def _all(content: Any) -> Iterator[Advisory]:
    path: tuple[str | int, ...] = ()
    if isinstance(content, dict) and content and not content.keys() & _TELLING:
        return
    if isinstance(content, dict) and isinstance(content.get("vulns"), list):
        content, path = content["vulns"], ("vulns",)
    if isinstance(content, list):
        for index, document in enumerate(content):
            if (found := read_advisory(document, *path, index)) is not None:
                yield found
    elif (found := read_advisory(content)) is not None:
        yield found


def _summary(of: Any) -> str:
    """Return one line that says what it is about; databases that have none have a text."""
    for name in ("summary", "details"):
        if isinstance(text := of.get(name), str) and (words := text[:600].split()):
            line = " ".join(words)
            if not line.isprintable():
                line = "".join(one for one in line if one.isprintable())
            return line if len(line) <= _MAX_SUMMARY else line[: _MAX_SUMMARY - 1] + "…"
    return ""


def _severity(of: Any, number: str, *path: str | int) -> Severity | None:
    """Return the severity: by the word of who has published it, else of its vectors."""
    entries = [one for one in of.get("affected") or () if isinstance(one, dict)]
    words = [_word(of, "database_specific")]
    words += [
        _word(one, name) for one in entries for name in ("database_specific", "ecosystem_specific")
    ]
    if (said := worst(words)) is not None:
        return said
    vectors = list(sequence(of.get("severity"), *path, "severity"))
    for index, one in enumerate(entries):
        vectors += sequence(one.get("severity"), *path, "affected", index, "severity")
    scores = (one.get("score") for one in vectors if isinstance(one, dict))
    found = worst(_of_score(score) for score in scores if isinstance(score, str))
    return found or ("critical" if number.startswith(_MALICIOUS) else None)


def _of_score(score: str) -> Severity | None:
    return severity_of_vector(score) or severity_of_word(score)


def _word(holder: Any, name: str) -> Severity | None:
    specific = holder.get(name)
    return severity_of_word(specific.get("severity")) if isinstance(specific, dict) else None


def _json(file: str, text: str) -> Any:
    if sum(text.count(mark) for mark in ",[{") > most_values(text):
        raise PolicyTextInvalid(file, "it has more values than a text of its size may have")
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise PolicyTextInvalid(file, f"it is not JSON: {exc.msg}", line=exc.lineno) from exc
    except (ValueError, RecursionError) as exc:
        raise PolicyTextInvalid(file, "it is not JSON that can be read") from exc


def _yaml(file: str, text: str) -> Any:
    try:
        node = compose(text)
    except MalformedYaml as exc:
        raise PolicyTextInvalid(file, f"it {exc}", line=exc.line) from exc
    return None if node is None else _plain(node)


def _plain(node: Any) -> Any:
    """Return a node's value with all scalars as they are written: 1.10 is a version."""
    if node.id == "sequence":
        return [_plain(child) for child in node.value]
    if node.id == "mapping":
        return {str(key.value): _plain(value) for key, value in node.value if key.id == "scalar"}
    return None if node.tag == _NULL_TAG else node.value


def _line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Return the line of a field, of JSON too, which is nearly all YAML."""
    try:
        node = compose(text)
    except MalformedYaml:
        return None
    line: int | None = None
    for part in (None, *path):
        if part is not None:
            node = _child(node, part)
        if node is None:
            break
        line = node.start_mark.line + 1
    return line


def _child(node: Any, part: str | int) -> Any:
    if node.id == "sequence" and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    if node.id == "mapping":
        return next((value for key, value in node.value if key.value == part), None)
    return None
