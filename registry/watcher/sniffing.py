r"""Whether a text defines an environment, and whether it is whole: as far as one can see.

Of files with names that say nothing, only those count that look like an environment: other programs
have a ``values.yaml`` or ``Chart.yaml`` as well. What a file holds is read by ``builder.inputs``
alone; this here only decides whom it is handed to, and when.

>>> looks_like_environment(b"name: a\ndependencies:\n- numpy\n")
True
>>> looks_like_environment(b"apiVersion: v2\ndependencies:\n- name: postgresql\n  version: 12.1\n")
False
"""

import re
from typing import Final

from builder.errors import InputError
from builder.inputs.document import Field, parse_document

#: Larger texts are looked at by their lines alone: to understand them takes seconds.
_MAX_UNDERSTOOD: Final = 64 * 1024
_IN_YAML: Final = re.compile(r"(?m)^[\"']?dependencies[\"']?[ \t]*:")
_IN_JSON: Final = re.compile(r"\"dependencies\"[ \t]*:")
#: Keys that an environment does not have beside its dependencies, and files of others do: charts of
#: Helm, roles and collections of Ansible, packages of Dart.
_FOREIGN: Final = re.compile(r"(?m)^(?:apiVersion|galaxy_info|environment|dev_dependencies)\s*:")
_LOCKS: Final = (
    (re.compile(r"(?m)^package\s*:"), re.compile(r"(?m)^metadata\s*:")),
    (re.compile(r"(?m)^environments\s*:"), re.compile(r"(?m)^packages\s*:")),
)
#: One of these groups of keys stands at the top of whatever defines an environment.
_TOPS: Final = (
    *({"dependencies"}, {"specs"}, {"pip"}),
    *({"package", "metadata"}, {"environments", "packages"}),
)


def looks_like_environment(data: bytes) -> bool:
    """Tell whether a text seems to define an environment, broken or not."""
    text = _text(data)
    if text is None:
        return False
    if "@EXPLICIT" in text or any(all(key.search(text) for key in keys) for keys in _LOCKS):
        return True
    dependencies = _IN_JSON if text.lstrip().startswith("{") else _IN_YAML
    if not dependencies.search(text) or _FOREIGN.search(text):
        return False
    if len(data) > _MAX_UNDERSTOOD:
        return True
    try:
        fields = dict(parse_document(text).entries)
    except InputError:
        return True  # it is broken, which somebody has to be told
    return "dependencies" in fields and _are_packages(fields)


def looks_whole(data: bytes) -> bool:
    """Tell whether a text seems to be all that somebody was about to write."""
    text = _text(data)
    if text is None or not text.strip():
        return False
    if len(data) > _MAX_UNDERSTOOD or "@EXPLICIT" in text:
        return True
    try:
        keys = {key for key, _ in parse_document(text).entries}
    except InputError:
        return False
    return any(top <= keys for top in _TOPS)


def _are_packages(fields: dict[str, Field]) -> bool:
    packages = fields["dependencies"]
    if packages.kind == "nothing":
        return "channels" in fields
    if packages.kind != "list":
        return False
    written = [one for one in packages.elements if one.kind == "text"]
    lists = [one for one in packages.elements if one.kind == "mapping"]
    others = len(packages.elements) - len(written) - len(lists)
    is_pip = all(key == "pip" for one in lists for key, _ in one.entries)
    return not others and is_pip and bool(packages.elements or "channels" in fields)


def _text(data: bytes) -> str | None:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None
