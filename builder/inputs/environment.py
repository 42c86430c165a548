"""An ``environment.yml``, as conda, mamba and conda-lock read it.

``name`` and ``prefix`` say where conda would install it, and ``category`` is conda-lock's: all
three mean nothing here.
"""

from typing import Final

from builder.inputs.document import Field
from builder.inputs.offers import Offers
from builder.inputs.wishes import (
    MAX_WISHES,
    Wishes,
    read_channels,
    read_pip,
    read_requirements,
    read_variables,
)
from builder.platforms import Subdir
from builder.spec import EnvironmentSpec

_KEYS: Final = frozenset(
    {"name", "prefix", "category", "channels", "dependencies", "platforms", "variables"}
)
_SECTION: Final = frozenset({"pip"})
_NOTHING: Final = Field("nothing")


def read_environment(document: Field, offers: Offers) -> EnvironmentSpec:
    """Return what an ``environment.yml`` asks for.

    Raises:
        InputError: It is none, or asks for what this server does not offer.
    """
    entries = document.only(_KEYS)
    wanted = entries["dependencies"].list(MAX_WISHES)
    if not wanted:
        raise entries["dependencies"].error("no package is asked for")
    packages = [field for field in wanted if field.kind != "mapping"]
    sections = [field for field in wanted if field.kind == "mapping"]
    if len(sections) > 1:
        raise sections[1].error("there is a 'pip:' section already")
    wishes = Wishes(
        requirements=read_requirements(packages, offers),
        channels=read_channels(entries.get("channels", _NOTHING), offers),
        platforms=_platforms(entries.get("platforms", _NOTHING), offers),
        pip=read_pip(sections[0].only(_SECTION).get("pip", _NOTHING)) if sections else (),
        variables=read_variables(entries.get("variables", _NOTHING)),
    )
    return wishes.spec(offers, offers.defaults.base)


def _platforms(field: Field, offers: Offers) -> tuple[Subdir, ...]:
    """Return those of the platforms that this server builds for: files name laptops as well."""
    named = [element.text() for element in field.list()]
    found = offers.platforms(named)
    if named and not found:
        raise field.error(
            f"none of these is a platform this server builds for, which are"
            f" {', '.join(offers.defaults.platforms)}"
        )
    return found
