"""What waivers let pass: some versions of one package, in the form in which rules compare them."""

import re
from typing import Final

from packaging.requirements import Requirement

from builder.pypi.requirement import canonical_requirement
from builder.rules.match_spec import parse_match_spec
from builder.rules.model import Manager
from registry.errors import WaiverInvalid

_MAX_LENGTH: Final = 200
#: The name of a channel, or none.
_CHANNEL: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,99})?")


def canonical_spec(text: str, manager: Manager) -> str:
    """Return a match spec or requirement that names one package, in canonical form.

    >>> canonical_spec("NumPy==2.3.1", "conda"), canonical_spec("Ruamel_Yaml >0.17", "pypi")
    ('numpy ==2.3.1', 'ruamel-yaml>0.17')
    >>> canonical_spec("bioconda::samtools", "conda")
    'bioconda::samtools'

    Raises:
        WaiverInvalid: It is none, or says more than which versions.
    """
    if len(text) > _MAX_LENGTH:
        raise WaiverInvalid(f"a waiver's spec has at most {_MAX_LENGTH} characters")
    try:
        if manager == "pypi":
            found = canonical_requirement(text)
            wanted = Requirement(found)
            is_plain = not wanted.extras and wanted.marker is None
        else:
            parsed = parse_match_spec(text)
            found, is_plain = str(parsed), _CHANNEL.fullmatch(parsed.channel) is not None
    except ValueError as exc:
        raise WaiverInvalid(f"a waiver is for a package: {exc}") from exc
    if not is_plain:
        raise WaiverInvalid(
            f"'{text[:100]}' says more than which versions of a package: leave out extras, markers"
            " and addresses"
        )
    return found


def package_of(spec: str, manager: Manager) -> str:
    """Return the package of a spec in canonical form.

    >>> package_of("main::numpy ==2.3.1", "conda"), package_of("ruamel-yaml>0.17", "pypi")
    ('numpy', 'ruamel-yaml')
    """
    if manager == "pypi":
        return Requirement(spec).name
    return spec.rpartition("::")[2].split(" ", maxsplit=1)[0]
