"""The grammar of image names: ``env/numpy.pandas:2026-11-01`` to an :class:`EnvironmentSpec`.

Two steps, both pure. :func:`scan` refuses everything that can be refused without knowing a
channel's packages, and says which channels are needed; :meth:`ScannedName.resolve` reads the rest
with the names those channels know. A name that cannot be right thus never costs a download.

::

    name       = "env/" run { "/" run } ;                (at most 255 characters, 100 items)
    run        = item { "." item } ;
    item       = [ channel "--" ] package { "." condition } ;
    package    = token { "." token } ;                   (the longest name the channels know;
                                                          after "pypi--" one token)
    condition  = version | operator "." version ;
    operator   = "gt" | "ge" | "lt" | "le" | "eq" | "ne" ;
    version    = numeric { "." ( numeric | suffix ) } ;
    numeric    = a token that starts with a digit ;
    suffix     = ( "a" | "alpha" | "b" | "beta" | "c" | "rc" | "pre" | "post" | "rev" | "dev" )
                 digit { digit } [ "__p__" token ] ;     (unless it begins a known package)
    token      = alnum { separator alnum } ;
    separator  = "_" | "__" | "-" { "-" } ;
    alnum      = ( "a" … "z" | digit ) { "a" … "z" | digit } ;

    tag        = "latest" | part { "-" part } ;          (each kind of part at most once)
    part       = date | "py" number "." number [ "." number ]
               | "cuda" number [ "." number ] | "bare" | "user" uid ;
    date       = year "-" month "-" day ;

In a token a leading ``zzz_`` stands for ``_``, ``__p__`` for ``+`` and ``__e__`` for ``!``.

What is ambiguous is decided so:

* The first token of an item is never a version: ``env/7zip`` is a package.
* After a package, a token that starts with a digit is always a version; a package such as ``7zip``
  is written after a ``/``.
* The longest known package name wins, over a version as well.
* An operator word is one only if a version follows; else it is a package, if there is one.
* ``pypi--`` takes one token as the name of a project; ``.``, ``_`` and ``-`` in it are the same to
  PyPI: ``pypi--ruamel-yaml``. After ``pypi--ruamel.yaml``, ``yaml`` is a package of conda.

>>> conda_forge = Channel("conda-forge", "https://conda.anaconda.org/conda-forge")
>>> defaults = EnvironmentPolicy((conda_forge,), base="docker.io/library/debian:bookworm-slim")
>>> known = {"conda-forge": {"numpy", "pandas", "python", "ruamel.yaml"}}
>>> spec = parse("env/ruamel.yaml.python.3.12.numpy.ge.1.26.lt.2", "2026-11-01", known, defaults)
>>> [str(requirement) for requirement in spec.requirements]
['numpy <2,>=1.26', 'python =3.12', 'ruamel.yaml']
>>> spec.until.isoformat()
'2026-11-01'
>>> spec == parse("env/numpy.lt.2.ruamel.yaml/numpy.ge.1.26/python", "py3.12-2026-11-01",
...               known, defaults)
True
>>> canonical_name(spec)
'env/numpy.lt.2.ge.1.26/python.3.12/ruamel.yaml:2026-11-01'
>>> parse("env/nunpy", "latest", known, defaults)
Traceback (most recent call last):
    ...
builder.errors.UnknownPackage: no package 'nunpy' in conda-forge for linux-64; did you mean 'numpy'?
"""

import datetime

from builder.image_name.canonical import canonical_name
from builder.image_name.resolve import KnownNames, ScannedName
from builder.image_name.scan import scan
from builder.image_name.suggest import suggest
from builder.image_name.tag import TagParts, parse_tag
from builder.policy import DEFAULT_VIRTUAL_PACKAGES, EnvironmentPolicy
from builder.spec import Channel, EnvironmentSpec

__all__ = [
    "DEFAULT_VIRTUAL_PACKAGES",
    "Channel",
    "EnvironmentPolicy",
    "KnownNames",
    "ScannedName",
    "TagParts",
    "canonical_name",
    "parse",
    "parse_tag",
    "scan",
    "suggest",
]


def parse(
    repository: str,
    tag: str,
    known: KnownNames,
    defaults: EnvironmentPolicy,
    *,
    today: datetime.date | None = None,
) -> EnvironmentSpec:
    """Return what the name asks for, in canonical form: :func:`scan` and then resolve.

    Args:
        repository: With its ``env/`` prefix.
        tag: Without a colon, for example ``"latest"``.
        known: The package names of each channel that the name needs.
        defaults: What the administrator offers.
        today: If given, dates after it are refused.

    Raises:
        ImageNameError: The name cannot be understood, or asks for what is not offered.
        UnknownPackage: No channel has a package of that name.
    """
    return scan(repository, tag, defaults, today=today).resolve(known)
