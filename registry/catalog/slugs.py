"""Names of namespaces and environments, and their slugs.

A name is kept as it was written; its slug is a component of a repository's name, by which images
are pulled. Two names with one slug are one name.
"""

import re
import unicodedata
from typing import Final

from registry.errors import CatalogNameInvalid

#: What the service itself answers below its address, or may one day: no namespace has such a name.
RESERVED: Final = frozenset(
    {
        *("api", "build", "catalog", "conda-store", "conda-store-dynamic", "docs", "env"),
        *("healthz", "login", "logout", "me", "metrics", "namespaces", "new", "oauth"),
        *("readyz", "search", "static", "ui", "v1", "v2"),
    }
)
_COMPONENT: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_NAME: Final = re.compile(r"[^\W_](?:[\w .@+$&?^~=-]*[\w@+$&?^~=-])?")
_ODD: Final = re.compile(r"[^a-z0-9._-]+")
_RUN: Final = re.compile(r"[._-]{2,}")
#: Two of them and what lies between fit into a repository's name.
MAX_LENGTH: Final = 100


def slug_of(name: str) -> str:
    """Return the slug of a namespace.

    >>> slug_of("forecast"), slug_of("Ada Lovelace"), slug_of("ada@x.org")
    ('forecast', 'ada-lovelace', 'ada-x.org')

    Raises:
        CatalogNameInvalid: Nothing of it could stand in a repository's name, or it is reserved.
    """
    slug = environment_slug(name)
    if slug in RESERVED:
        raise CatalogNameInvalid(
            f"'{slug}' is a name that the service itself answers: choose another one"
        )
    return slug


def is_slug(text: str) -> bool:
    r"""Tell whether a namespace or an environment can have that slug; nothing else is looked up.

    >>> is_slug("forecast-2"), is_slug("Forecast"), is_slug("fore\0cast")
    (True, False, False)
    """
    return len(text) <= MAX_LENGTH and _COMPONENT.fullmatch(text) is not None


def environment_slug(name: str) -> str:
    """Return the slug of an environment: a component of a repository's name.

    What an OCI name cannot have becomes ``-``; letters lose case and accents.

    >>> environment_slug("Forecast 2"), environment_slug("docs")
    ('forecast-2', 'docs')

    Raises:
        CatalogNameInvalid: Nothing of it could stand in a repository's name.
    """
    if len(name) > MAX_LENGTH or not _NAME.fullmatch(name):
        raise CatalogNameInvalid(
            f"'{name[:100]}' cannot be the name of a namespace or an environment: write at most"
            f" {MAX_LENGTH} letters and digits, with '.', '_', '-', '@', '+' or blanks between them"
        )
    ascii_alone = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = _ODD.sub("-", ascii_alone.lower())
    slug = _RUN.sub(lambda run: "__" if run[0] == "__" else run[0][0], slug).strip("._-")
    if len(slug) > MAX_LENGTH or not _COMPONENT.fullmatch(slug):
        raise CatalogNameInvalid(
            f"nothing in '{name}' can be part of an image's name: use latin letters and digits"
        )
    return slug
