"""Files that describe environments and cannot be read here: each is told what to send instead."""

import re
from collections.abc import Mapping
from typing import Final

from builder.inputs.document import Field

_NONE: Final = (
    "this is none of what can be read: an environment.yml, a request with 'specs', a conda-lock"
    " file, a pixi.lock, an @EXPLICIT list"
)

#: By keys that all stand there, the first that fits.
_BY_KEYS: Final[Mapping[frozenset[str], str]] = {
    frozenset({"locking_enabled"}): "the lock of anaconda-project, which has no addresses: send the"
    " environment.yml that 'anaconda-project export-env-spec' writes",
    frozenset({"env_specs"}): "an anaconda-project.yml: send what its environment has under"
    " 'channels' and 'dependencies', as 'anaconda-project export-env-spec' writes it",
    frozenset({"commands", "packages"}): "an anaconda-project.yml: send what stands under"
    " 'packages' as the 'dependencies' of an environment.yml",
    frozenset({"_meta", "default"}): "a Pipfile.lock, which has no addresses: send an"
    " environment.yml with 'python' and a 'pip:' section",
    frozenset({"R", "Packages"}): "an renv.lock, whose packages come from CRAN: send an"
    " environment.yml with conda's packages, which are called 'r-' and the name",
    frozenset({"package", "requirements"}): "the recipe of a package: send an environment.yml with"
    " what it needs, or with the package",
    frozenset({"package", "build"}): "the recipe of a package: send an environment.yml with what"
    " it needs, or with the package",
}
#: What keys of an environment.yml without packages are among.
_OF_ENVIRONMENT: Final = frozenset({"name", "channels", "prefix", "variables", "platforms"})

#: By a line of TOML, the first that fits.
_BY_LINE: Final[Mapping[str, str]] = {
    r"\[(?:tool\.pixi\.)?(?:workspace|feature\..*|pypi-dependencies|environments)\]": "a pixi.toml:"
    " send the pixi.lock that lies beside it",
    r"\[tool\.pixi\..*\]": "a pyproject.toml of pixi: send the pixi.lock that lies beside it",
    r"\[(?:project|build-system|tool\..*)\]": "a pyproject.toml: send an environment.yml with"
    " 'python', and what it needs in a 'pip:' section",
    r"lock-version = .*|\[\[packages\]\]|\[\[package\]\]": "a lock of Python's packages alone"
    " (uv.lock, poetry.lock, pylock.toml): send an environment.yml with 'python' and a 'pip:'"
    " section",
    r"\[(?:packages|dev-packages|requires)\]": "a Pipfile: send an environment.yml with 'python'"
    " and a 'pip:' section",
    r"\[dependencies\]": "a pixi.toml: send the pixi.lock that lies beside it",
}
_WISH = re.compile(
    r"-[a-z-].*|[a-z+]+://\S+|[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\[.*\])?(?:\s*[=<>!~@;#\\].*)?"
)
#: So many lines show what a file is.
_TELLING: Final = 1000
#: No line of a list is longer.
_LONG: Final = 2000
_JINJA = re.compile(r"\{[{%]")


def refusal(text: str, document: Field | None) -> str | None:
    """Return why ``text`` cannot be read, in a sentence that says what to send instead.

    Args:
        text: What was sent.
        document: What it holds; ``None`` if it is neither YAML nor JSON.

    Returns:
        ``None`` if it looks like nothing that is known, and is not YAML.
    """
    if document is not None and document.kind == "mapping":
        return _of_keys({key for key, _ in document.entries})
    known = _of_lines(text)
    if known is None and document is None and _JINJA.search(text):
        return "this is a template of Jinja: send what it makes, without '{{' and '{%'"
    return known or (_NONE if document is not None else None)


def _of_keys(keys: set[str]) -> str:
    for those, words in _BY_KEYS.items():
        if those <= keys:
            return f"this is {words}"
    if keys and keys <= _OF_ENVIRONMENT:
        return "no package is asked for: 'dependencies' is missing"
    return _NONE


def _of_lines(text: str) -> str | None:
    lines = [line.strip() for line in text.split("\n")]
    entries = [line for line in lines if line and not line.startswith("#")]
    if '"dist_name":' in text and text.lstrip().startswith("["):
        return (
            "this is what 'conda list --json' writes: send what 'conda list --explicit --md5' does"
        )
    for pattern, words in _BY_LINE.items():
        if any(re.fullmatch(pattern, entry) for entry in entries[:_TELLING]):
            return f"this is {words}"
    if entries and all(len(entry) < _LONG and _WISH.fullmatch(entry) for entry in entries):
        return (
            "this is a list of requirements, which pip and conda read differently: send it as"
            ' {"pip": [...]} or {"specs": [...]}, or under \'dependencies\' of an environment.yml'
        )
    return None
